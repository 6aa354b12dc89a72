"""What an estimate of a training step has to say about its settings, and where they make it less certain."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memcalc.architectures.program import Program
from memcalc.recurrent import training_notes as recurrent_notes
from memcalc.scenario import Scenario, Training
from memcalc.tensors.tape import Size
from memcalc.training.optimizers.eight_bit import managed_bytes
from memcalc.units import binary

if TYPE_CHECKING:
    from memcalc.question import Question

UNTRACED = 0.02
"""Share of the tensors by which the range widens where a setting was read in its source but never traced: assumed."""

TRACED_WEIGHTS = ("same", "nf4", "nf4-dq", "fp4", "fp4-dq")
"""Formats of weights whose layers the tracer runs."""

GUESSED = {"zero1": 0.02, "zero2": 0.02, "zero3": 0.06}
"""The same for DeepSpeed's stages: read, never traced, and stage 3 block by block where DeepSpeed goes module by module
(half a prefetch bucket and tensor either way on a model of 8 billion parameters over 8 cards): assumed."""


LIGER_TRACED = (
    "llama", "smollm3", "granite", "exaone4", "gemma", "gemma2", "gemma3_text", "olmo2", "olmo3", "hunyuan_v1_dense",
    "gpt_oss",
)  # fmt: skip
"""Families whose Liger kernels were traced, Mistral and Qwen 2 and 3 with Llama."""
LIGER_READ = (
    "phi3", "glm4", "mixtral", "qwen3_moe", "qwen3_next", "deepseek_v2", "deepseek_v3", "llama4_text", "ministral",
    "nemotron", "falcon_h1",
)  # fmt: skip
"""Families that Liger has kernels for, of which not all are followed: its fused experts, for one, are not
[liger_kernel 0.8.5 transformers/monkey_patch.py, MODEL_TYPE_TO_APPLY_LIGER_FN]."""


def untraced(settings: Training, family: str) -> list[str]:
    """The settings whose rules come from reading source code only: no real run or trace has judged them."""
    return [f"liger for {family}"] if settings.liger and family in LIGER_READ else []


def widened(scenario: Scenario, peak: Size, family: str) -> tuple[Size, Size]:
    """(low, high) of the tensors of a model of ``family``: the point itself, unless a setting was never traced."""
    if scenario.task == "infer":
        inference = scenario.inference
        traced = inference.weights in TRACED_WEIGHTS and inference.kv_cache == "same" and inference.beams == 1
        shares = [] if traced else [UNTRACED]
    else:
        shares = [UNTRACED] if untraced(scenario.training, family) else []
        shares += [GUESSED[scenario.parallel.shards]] if scenario.parallel.shards in GUESSED else []
    if not shares:
        return peak, peak
    share = round(sum(shares) * 1000)
    return peak * (1000 - share) // 1000, peak * (1000 + share) // 1000


def training_notes(question: Question, program: Program) -> list[str]:
    """The assumptions behind the training settings, each a sentence."""
    settings = question.scenario.training
    tokens = question.scenario.batch * (question.scenario.seq_len or 1)
    compute = question.precision.autocast or question.precision.weights
    notes = recurrent_notes(question.model.spec, tokens, compute.size)
    if question.precision.master:
        notes.append(
            "master weights: the 16-bit gradients are cast to fp32 for the step, all at once"
            if settings.gradient_dtype is None
            else "master weights: fp32 gradient buffers stay, 16-bit gradients are added into them"
        )
    if settings.clip_grad:
        notes.append("gradient clipping works in place; one norm of 512 bytes a gradient is counted")
    if settings.lora is not None and settings.lora.targets is None:
        notes.append(
            f"adapters on {', '.join(program.peft_targets)}: PEFT's usual targets, or the like where it has none"
            if program.peft_targets
            else "adapters on all linear layers: PEFT has no usual targets for this family and asks for them"
        )
    if any(".original_module." in one.name for one in program.parameters):
        notes.append(
            "the head is trained whole beside the adapters: a copy of it, as PEFT makes for sequence classification "
            "(modules_to_save); its frozen original stays"
            + (", and neither is quantised (llm_int8_skip_modules): PEFT needs that" if settings.base_weights else "")
        )
    if any(".experts." in one.name and "lora_" in one.name for one in program.parameters):
        notes.append(
            "adapters on experts: PEFT adds them to all experts' weights of a layer in every pass, a copy as large as "
            "these weights that is kept for backward; adapters on attention alone need none"
        )
    notes += (
        _method(question, settings, program)
        + _optimizer(settings, program)
        + _kernels(settings, question.model.spec.family)
    )
    names = untraced(settings, question.model.spec.family)
    if names:
        notes.append(f"{', '.join(names)}: read in the source, not traced; the range is {UNTRACED:.0%} wider each way")
    return notes


def _method(question: Question, settings: Training, program: Program) -> list[str]:
    notes = []
    if settings.method == "head" and question.model.spec.tied:
        notes.append("the head is tied to the embedding: that table is trained, in both places")
    if settings.method == "dora":
        notes.append(
            "DoRA: the length of each row of the adapted weight is taken anew in every forward pass, with copies of "
            "the base weight in the adapter's format"
        )
        if settings.lora is not None and settings.lora.dropout:
            notes.append("DoRA with dropout: the copied weights stay until the backward pass; without, they do not")
    if settings.method == "qlora":
        notes.append("embedding, head and norms are upcast to fp32, as PEFT's prepare_model_for_kbit_training does")
        experts = sum(one.count * one.repeat for one in program.parameters if ".experts." in one.name)
        if experts:
            notes.append(
                f"QLoRA: bitsandbytes quantises linear layers only; the experts are parameters of their own, and their "
                f"{experts:,} values are upcast to fp32 with the rest ({binary(experts * 4)})"
            )
        if question.precision.autocast is None:
            notes.append(
                "without autocast the fp32 embedding makes all hidden states fp32; bf16-mixed is what Trainer's "
                "bf16=True runs"
            )
    return notes


def _optimizer(settings: Training, program: Program) -> list[str]:
    name = settings.optimizer
    if name.startswith("paged"):
        counts = [one.count for one in program.parameters if one.trainable for _ in range(one.repeat)]
        paged = binary(managed_bytes(counts, 4 if name.endswith("32bit") else 1))
        return [
            f"paged states: {paged} lie in managed memory, outside torch's allocator and not counted; the driver may "
            "keep them on the card while there is room"
        ]
    if name == "galore":
        return ["GaLore: the workspace of the singular value decomposition is not counted"]
    if name == "adam-mini":
        return ["Adam-mini knows matrices by their names: one second moment a head of queries and keys"]
    if name == "muon":
        return ["Muon steps the matrices of the blocks; AdamW steps embedding, head, norms and biases"]
    return []


def _kernels(settings: Training, family: str) -> list[str]:
    notes = []
    if settings.checkpointing == "selective-attention":
        notes.append("selective-attention: torch.utils.checkpoint around the attention core of every block")
    if settings.checkpointing == "selective-ops":
        notes.append(
            "selective-ops: torch.utils.checkpoint around every block; create_selective_checkpoint_contexts keeps the "
            "results of matrix products and of the attention kernels"
        )
    if settings.activation_offload:
        notes.append(
            "activation offload: torch.autograd.graph.save_on_cpu; what each operator keeps comes back, weights too, "
            "as a copy of its own for as long as its backward runs"
        )
    if settings.loss == "fused":
        notes.append(
            "fused loss: Liger's chunks, next_power_of_2(tokens / ceil(vocabulary / hidden size)) rows of logits at a "
            "time; the gradients of head and last hidden states are made in the forward pass"
        )
    if settings.liger:
        notes.append(
            "liger: fused norms, gated feed-forwards and rotary positions, where Liger has them for the model; other "
            "operators as they are"
            if family in LIGER_TRACED + LIGER_READ
            else f"training.liger is ignored: Liger has no kernels for {family}"
        )
    return notes
