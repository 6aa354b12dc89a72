"""A scenario with its model found and its program built: everything needed to lay out the timeline."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from memcalc import checkpoint, kinds, recurrent
from memcalc.allocator.unsplit import kept_ends
from memcalc.architectures.decoder import Decoder
from memcalc.architectures.layers import Base, Lora, Maker
from memcalc.architectures.program import Program
from memcalc.architectures.programs import PROGRAMS
from memcalc.architectures.run import Run
from memcalc.architectures.seq2seq import Seq2Seq, Seq2SeqSpec
from memcalc.architectures.spec import ModelSpec
from memcalc.errors import ScenarioError
from memcalc.formats import Format
from memcalc.inference import two_sided
from memcalc.inference.generate import forward_stages, generation_stages
from memcalc.models import ModelDescription, describe
from memcalc.parallel import fsdp2, strategy, tensor
from memcalc.parallel.groups import ROOT, groups
from memcalc.quantisation import SAME, scheme_for
from memcalc.scenario import SERVERS, Scenario
from memcalc.shared import Shared, tape_key
from memcalc.stages import Stage
from memcalc.tensors.ops import AttentionCall, chosen_kernel
from memcalc.tensors.ops.quantised import scratch_bytes
from memcalc.tensors.tape import Size, Tape
from memcalc.training.notes import LIGER_READ, LIGER_TRACED
from memcalc.training.precision import INFERENCE, Precision
from memcalc.training.standing import Standing, weight_bytes
from memcalc.training.step import micro_batches, stages
from memcalc.training.targets import refuse_unadaptable, targets_of

DEFAULT_LENGTH = 2048


@dataclass(slots=True)
class Question:
    """A checked scenario (lengths filled in), its model, and what was assumed on the way. ``model.spec`` is one card's
    part of ``whole``: the same, unless tensors are split."""

    scenario: Scenario
    model: ModelDescription
    capability: float
    assumptions: tuple[str, ...]
    whole: ModelSpec
    shared: Shared | None = None

    @classmethod
    def read(
        cls,
        raw: Mapping[str, Any] | Scenario,
        capability: float = 8.0,
        allow_files: bool = True,
        shared: Shared | None = None,
    ) -> Question:
        """Understand ``raw``; errors name the field."""
        scenario = Scenario.read(raw)
        model = describe(scenario.model, allow_files)
        tensor.check(scenario, model.spec)
        recurrent.check(scenario, model.spec)
        whole, model = model.spec, replace(model, spec=tensor.split(model.spec, scenario.parallel.tensor))
        assumptions = [*scenario.notes, *model.assumptions]
        if model.spec.eager_only and scenario.attention != "eager":
            assumptions.append(f"attention: {scenario.attention} cannot run here, transformers has eager only for it")
            scenario = replace(scenario, attention="eager")
        scenario = checkpoint.settled(scenario, model, assumptions)
        scenario = kinds.fitted(scenario, model.spec, assumptions)
        model = replace(model, spec=kinds.sized(model.spec, scenario))
        scenario = _lengths(scenario, model.spec, assumptions)
        question = cls(scenario, model, capability, (), whole, shared)
        assumptions += _attention_notes(question)
        question.assumptions = tuple(assumptions)
        return question

    @property
    def precision(self) -> Precision:
        if self.scenario.task == "train":
            return strategy.computed_in(self.scenario.parallel, self.scenario.precision)
        return Precision(INFERENCE[self.scenario.precision])

    def program(self, spec: ModelSpec | None = None) -> Program:
        """The architecture program (of an alternative whole ``spec``, if given), one card's part of it, with its
        parameters made."""
        spec = self.model.spec if spec is None else tensor.split(spec, self.scenario.parallel.tensor)
        return self._made(spec)

    def whole_program(self, program: Program) -> Program:
        """The program of the whole model: ``program`` itself, unless tensors are split."""
        return program if self.scenario.parallel.tensor == 1 else self._made(self.whole)

    def _made(self, spec: ModelSpec) -> Program:
        maker = Maker(self.precision.weights, self._lora(spec), self._base(), self._head_only(spec))
        return PROGRAMS[spec.family](spec, maker)

    def _base(self) -> Base | None:
        """Quantised linear layers. QLoRA's base computes in the precision's 16-bit format if it has one."""
        compute = self.precision.autocast or self.precision.weights
        training = self.scenario.task == "train"
        weights = (self.scenario.training.base_weights or SAME) if training else self.scenario.inference.weights
        scheme = scheme_for(weights)
        if scheme is None:
            return None
        stored = self.model.published
        if stored is not None and stored.weights != weights:
            stored = None
        # bitsandbytes replaces linear layers; transformers 5 keeps the experts of a block in one parameter.
        experts = self.serving or not scheme.product.startswith("bnb")
        # gpt-oss and its like come with experts in MXFP4 and everything else in 16 bits.
        linears = stored is not None or scheme.name != "mxfp4" or getattr(self.model.spec, "experts", 1) == 1
        return Base(compute, scheme, training, experts, linears, stored)

    def _head_only(self, spec: ModelSpec) -> tuple[str, ...] | None:
        if self.scenario.task != "train" or self.scenario.training.method != "head":
            return None
        return PROGRAMS[spec.family].head_names(spec)

    def _lora(self, spec: ModelSpec) -> Lora | None:
        settings = self.scenario.training.lora
        if settings is None:
            return None
        targets = targets_of(settings, spec)
        fmt = Format.named(settings.dtype)
        if self.scenario.parallel.shards in ("zero1", "zero2", "zero3"):
            fmt = self.precision.weights  # DeepSpeed casts the whole model
        names = getattr(PROGRAMS[spec.family], "expert_names", {})
        lora = Lora(settings.r, targets, fmt, settings.dropout, self.scenario.training.method == "dora", tuple(names))
        refuse_unadaptable(lora, names)
        return lora

    def stages(
        self,
        program: Program,
        batch: Size,
        length: Size,
        new_tokens: Size = 0,
        one_sequence: bool = False,
        one_token: bool = False,
    ) -> list[Stage]:
        """The timeline for ``batch`` sequences of ``length`` tokens (the prompt, for inference)."""
        scenario = self.scenario
        training = scenario.task == "train"
        run = Run(
            batch=batch,
            length=length,
            attention=AttentionCall(scenario.attention, self.capability),
            eager=scenario.attention == "eager",
            padded=scenario.attention_mask == "padded",
            checkpointing=scenario.training.checkpointing in ("full", "selective-ops") and training,
            training=training,
            recompute_attention=scenario.training.checkpointing == "selective-attention" and training,
            fused_loss=scenario.training.loss == "fused" and training,
            last_logits=not training and scenario.inference.logits == "last",
            compute=self.precision.weights,
            split=scenario.parallel.tensor if scenario.parallel.sequence else 1,
            side=scenario.image_size or 0,
            text=scenario.text_len or 0,
            target=scenario.target_len or 0,
        )
        if training:
            tape = Tape(one_sequence, one_token)
            tape.liger = scenario.training.liger and program.spec.family in LIGER_TRACED + LIGER_READ
            tape.offload = scenario.training.activation_offload
            tape.selective = scenario.training.checkpointing == "selective-ops"
            tape.watch = strategy.watch(scenario.parallel, scenario.precision, scenario.training, program)
            return self._training(program, run, tape)
        base = {"weights": weight_bytes(program), "temporary": scratch_bytes(program.parameters)}
        if scenario.inference.runtime == "forward":
            return forward_stages(program, run, base, one_sequence, one_token)
        store, beams = scenario.inference.kv_cache, scenario.inference.beams
        if isinstance(program, Seq2Seq):
            return two_sided.generation_stages(program, run, base, length, new_tokens, one_sequence, beams)
        assert isinstance(program, Decoder)
        run = replace(run, batch=batch * beams, beams=beams)
        return generation_stages(program, run, base, length, new_tokens, one_sequence and beams == 1, one_token, store)

    def kept_ends(self, program: Program) -> int:
        """What the weights' blocks hold beyond the weights, for inference."""
        return kept_ends(program.parameters) if self.scenario.task == "infer" else 0

    @property
    def serving(self) -> bool:
        """Whether a serving runtime answers, which allocates by a policy of its own."""
        return self.scenario.task == "infer" and self.scenario.inference.runtime in SERVERS

    def _training(self, program: Program, run: Run, tape: Tape) -> list[Stage]:
        settings = self.scenario.training
        again = settings.grad_accumulation > 1 or settings.zero_grad == "keep" or settings.gradient_dtype is not None
        key = None
        if self.shared is not None:
            key = tape_key(self.scenario, program.spec, self.capability, run.batch, run.length)
        if self.shared is None or key is None:
            micros = micro_batches(program, run, self.precision, tape, again)
        elif key in self.shared.tapes:
            micros = self.shared.tapes[key]
        else:
            micros = micro_batches(program, run, self.precision, tape, again)
            if not self.shared.whole:
                micros = [one.sums() for one in micros]
            self.shared.tapes[key] = micros
        return list(stages(micros, settings, self.standing(program)))

    def apart(self, program: Program) -> int:
        """Bytes that torch's allocator keeps apart for other streams while the peak, on the usual one, cannot use them:
        FSDP2's shards of the gradients, allocated on the reduce-scatter stream, and what the model's root was gathered
        through on the all-gather stream [torch 2.13, _fsdp_collectives.py: foreach_reduce, foreach_all_gather]; taken
        as if the peak were always before the gradients exist, in which they then are all reserved."""
        parallel = self.scenario.parallel
        if self.scenario.task != "train" or parallel.shards != "fsdp2":
            return 0
        root = groups(program)[ROOT]
        kept = strategy.formats(parallel, self.scenario.precision)
        return self.standing(program).gradients + fsdp2.gathered_bytes(root, parallel.data, kept)

    def standing(self, program: Program) -> Standing:
        """What stands beside the activations of a training step, on one card."""
        scenario = self.scenario
        return strategy.held(scenario.parallel, scenario.precision, scenario.training, program)


def _lengths(scenario: Scenario, spec: ModelSpec, assumptions: list[str]) -> Scenario:
    """Fill in lengths that were not given, within the model's own limit; refuse what learned positions cannot reach."""
    limit = spec.max_positions
    if scenario.task == "train":
        length = scenario.seq_len or min(DEFAULT_LENGTH, limit)
        scenario = replace(scenario, seq_len=length)
        longest, field = length, "seq_len"
    else:
        inference = scenario.inference
        shares = inference.runtime == "transformers" and not isinstance(spec, Seq2SeqSpec)
        more = max(inference.new_tokens - 1, 0) if shares else 0  # of one row of positions
        prompt = inference.prompt_tokens or max(1, min(DEFAULT_LENGTH, limit - more))
        scenario = replace(scenario, inference=replace(inference, prompt_tokens=prompt))
        longest, field = prompt + more, "inference.prompt_tokens"
    if longest > limit:
        if spec.learned_positions:
            raise ScenarioError(
                f"the model has learned positions for {limit:,} tokens, {longest:,} are asked for", field
            )
        assumptions.append(
            f"{longest:,} tokens are more than the {limit:,} positions the configuration was made for: "
            "positions that are not learned are extended as they are"
        )
    return scenario


def _attention_notes(question: Question) -> list[str]:
    """Say it where the wished attention kernel cannot run."""
    scenario, spec = question.scenario, question.model.spec
    if scenario.attention == "eager" or spec.attention_free:
        return []
    precision = question.precision
    fmt = precision.autocast or precision.weights
    grouped = spec.kv_heads != spec.heads
    masked = scenario.attention_mask == "padded" or spec.always_masked
    call = AttentionCall(scenario.attention, question.capability)
    kernel = chosen_kernel(fmt, spec.head_dim, grouped and not masked, masked, call)
    if scenario.attention == "sdpa":
        return [f"attention: torch picks the {kernel} kernel here"] if kernel == "math" else []
    if kernel != scenario.attention:
        return [f"attention: the {scenario.attention} kernel cannot run here, {kernel} is used"]
    return []
