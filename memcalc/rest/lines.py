"""Evaluation, generation, DPO and GRPO around a training scenario, composed of estimates.

Each moment of the run is what stands on the card then (weights, optimizer states, other models) plus what its own
forward pass or generation needs, which is an estimate's peak less its weights. The card has to hold the highest
moment. Composed, not traced: each moment has a range.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from memcalc.errors import ScenarioError
from memcalc.estimate import Estimate, estimate
from memcalc.hardware.machine import Machine
from memcalc.models import catalogue
from memcalc.question import Question
from memcalc.rest.storage import storage
from memcalc.rest.values import Line, Rest, Standing, WholeRun
from memcalc.scenario.paths import Json, get
from memcalc.solve.verdict import understood
from memcalc.training.precision import TRAINING
from memcalc.units import binary

ADAPTERS = ("lora", "qlora", "dora")


def whole_run(
    scenario: Mapping[str, Any], rest: Rest, allow_files: bool = True, machine: Machine | None = None
) -> WholeRun:
    """The run around the training ``scenario`` with the parts of ``rest``.

    >>> run = whole_run({"model": "gpt2", "task": "train"}, Rest(evaluation=8))
    >>> [line.key for line in run.lines if line.where == "device"]
    ['step', 'evaluation']
    """
    if (scenario.get("task") or "infer") != "train":
        raise ScenarioError("the rest of a run belongs to training", "task", ["train"])
    asked = understood(scenario, allow_files)
    if (rest.generation or rest.preference) and not Question.read(asked, allow_files=allow_files).model.spec.generates:
        raise ScenarioError("the model writes no text: it has no samples, no DPO and no GRPO", "model")
    stepped = _step(asked, rest)
    step = estimate(stepped, allow_files, machine)
    notes = ["composed of estimates, not traced: each moment has a range"]
    others, moments = _others(asked, rest, step, allow_files, notes)
    gradients = step.component_peak["gradients"] if get(asked, "training.zero_grad") == "keep" else 0
    standing = Standing(step.component_peak["weights"] + gradients, step.component_peak["optimizer"], others)
    lines = [_step_line(step, rest, others)]
    lines += _evaluation(asked, rest, standing, allow_files)
    lines += _generation(asked, rest, standing, allow_files, notes)
    lines += [_moment(key, title, standing, low, high, how, source) for key, title, low, high, how, source in moments]
    above = (step.range["device"][0] - step.peak["tensors"], step.range["device"][1] - step.peak["tensors"])
    low, high = max(one.low for one in lines) + above[0], max(one.high for one in lines) + above[1]
    state, limit = "unknown", None
    if step.fit is not None:
        limit = step.fit["capacity"] - step.fit["reserve"]
        state = "fits" if high <= limit else "does not fit" if low > limit else "tight"
    return WholeRun(step, (*lines, *storage(asked, step)), low, high, state, limit, tuple(notes))


def _step(asked: Json, rest: Rest) -> Json:
    """The training step that the method makes: DPO runs the chosen and the rejected answers as one batch; GRPO trains
    on prompt and completion together."""
    if rest.preference == "dpo":
        return {**asked, "batch": 2 * int(asked.get("batch") or 1)}
    if rest.preference == "grpo":
        return {**asked, "seq_len": int(asked["seq_len"]) + rest.completion}
    return asked


def _step_line(step: Estimate, rest: Rest, others: int) -> Line:
    how = f"the estimate's tensors, {binary(step.peak['tensors'])}"
    if rest.preference == "dpo":
        how += ", with chosen and rejected answers as one batch of twice the size"
    if rest.preference == "grpo":
        how += ", over prompt and completion"
    if others:
        how += f", and {binary(others)} of other models"
    size = step.peak["tensors"] + others
    return Line("step", "training step", "device", size, size, how, "memcalc.estimate")


def _moment(key: str, title: str, standing: Standing, low: int, high: int, how: str, source: str) -> Line:
    formula = f"{binary(standing.total)} standing (weights, optimizer states, other models) and {how}"
    return Line(key, title, "device", standing.total + low, standing.total + high, formula, source)


def _activity(asked: Json, precision: str, batch: int, allow_files: bool, **inference: Any) -> tuple[int, Estimate]:
    """What a pass without gradients needs beside the weights: an inference estimate's peak less its weights."""
    scenario = {
        "model": asked["model"], "task": "infer", "precision": precision, "batch": batch,
        "attention": asked.get("attention"), "attention_mask": asked.get("attention_mask"), "inference": inference,
    }  # fmt: skip
    found = estimate(scenario, allow_files)
    return max(0, found.peak["tensors"] - found.component_peak["weights"]), found


def _formats(asked: Json) -> tuple[str, str]:
    """The formats in which a pass may compute: (that of autocast, if it is on, that of the weights)."""
    precision = TRAINING[asked.get("precision") or "bf16"]
    compute = precision.autocast or precision.weights
    return compute.label, precision.weights.label


def _evaluation(asked: Json, rest: Rest, standing: Standing, allow_files: bool) -> list[Line]:
    """A forward pass over whole sequences under no_grad, with the loss: transformers upcasts the logits to fp32 and
    takes their log-softmax in fp32 [transformers.loss.loss_utils, ForCausalLMLoss]."""
    if not rest.evaluation:
        return []
    length = int(asked["seq_len"])
    narrow, wide = (
        _activity(asked, one, rest.evaluation, allow_files, runtime="forward", prompt_tokens=length, logits="all")[0]
        for one in _formats(asked)
    )
    spec = Question.read(asked, allow_files=allow_files).model.spec
    how = f"a forward pass of {rest.evaluation} × {length:,} tokens ({span(narrow, wide)})"
    loss = 8 * rest.evaluation * length * spec.vocab if spec.scores_words else 0
    if loss:
        how += (
            f", and up to {binary(loss)} for the loss: 8 bytes × {rest.evaluation * length:,} tokens × "
            f"{spec.vocab:,} of the vocabulary"
        )
    low, high = min(narrow, wide), max(narrow, wide) + loss
    return [_moment("evaluation", "evaluation", standing, low, high, how, "transformers, Trainer.evaluation_loop")]


def _generation(asked: Json, rest: Rest, standing: Standing, allow_files: bool, notes: list[str]) -> list[Line]:
    """Samples made with generate() while optimizer states stay where they are."""
    if rest.generation is None:
        return []
    batch, prompt, new = rest.generation
    low, high, how = _rollout(asked, batch, prompt, new, allow_files)
    notes.append(
        "generation: with transformers' generate(); in autocast's format at the low end, the weights' at the high end"
    )
    return [_moment("generation", "generation", standing, low, high, how, "transformers, GenerationMixin.generate")]


def _rollout(asked: Json, batch: int, prompt: int, new: int, allow_files: bool) -> tuple[int, int, str]:
    sizes = [
        _activity(asked, one, batch, allow_files, prompt_tokens=prompt, new_tokens=new)[0] for one in _formats(asked)
    ]
    low, high = min(sizes), max(sizes)
    return low, high, f"cache and logits of {batch} × ({prompt:,} + {new:,}) tokens ({span(low, high)})"


_Moment = tuple[str, str, int, int, str, str]


def _others(asked: Json, rest: Rest, step: Estimate, allow_files: bool, notes: list[str]) -> tuple[int, list[_Moment]]:
    """Other models on the card (bytes), and the moments at which they run."""
    if rest.preference is None:
        return 0, []
    batch, length = int(asked.get("batch") or 1), int(asked["seq_len"])
    moments: list[_Moment] = []
    held = 0
    adapters = get(asked, "training.method") in ADAPTERS
    wide = _formats(asked)[1]
    if rest.reference and adapters:
        notes.append("reference: the policy's own base weights, with the adapters switched off: no second copy")
    elif rest.reference:
        held += estimate({"model": asked["model"], "task": "infer", "precision": wide}, allow_files).persistent
        notes.append(f"reference: a frozen copy of the policy in {wide}")
    if rest.preference == "dpo":
        if rest.reference:
            kept = step.component_peak["activations"]
            key, title, low, high, how, source = _pass(
                asked,
                "reference",
                2 * batch,
                length,
                allow_files,
                "trl, DPOTrainer.compute_ref_log_probs, under no_grad",
            )
            how += f", up to {binary(kept)} of the policy's activations beside it unless it was run beforehand"
            moments.append((key, title, low, high + kept, how, source))
        return held, moments
    low, high, how = _rollout(asked, batch, length, rest.completion, allow_files)
    moments.append(
        ("rollout", "rollout (generation)", low, high, how, "trl, GRPOTrainer with transformers' generate()")
    )
    whole = length + rest.completion
    if rest.reference:
        moments.append(
            _pass(asked, "reference", batch, whole, allow_files, "trl, GRPOTrainer: needed if beta is not 0")
        )
    if rest.reward:
        judge = estimate({"model": catalogue.find(rest.reward).name, "task": "infer", "batch": batch,
                          "inference": {"runtime": "forward", "prompt_tokens": whole}}, False)  # fmt: skip
        held += judge.persistent
        activity = max(0, judge.peak["tensors"] - judge.component_peak["weights"])
        how = (
            f"its forward pass over {batch} × {whole:,} tokens, at most {binary(activity)}: it has one output in "
            "place of the vocabulary's"
        )
        moments.append(("reward", "reward model", 0, activity, how, "trl, GRPOTrainer: reward models in bf16"))
    notes.append("GRPO: batch counts completions on this card; rollouts on a vLLM server take no memory here")
    return held, moments


def _pass(asked: Json, key: str, batch: int, length: int, allow_files: bool, source: str) -> _Moment:
    """The reference model's pass by itself."""
    narrow, wide = (
        _activity(asked, one, batch, allow_files, runtime="forward", prompt_tokens=length, logits="all")[0]
        for one in _formats(asked)
    )
    low, high = min(narrow, wide), max(narrow, wide)
    how = f"a forward pass of {batch} × {length:,} tokens ({span(low, high)})"
    return key, "reference model", low, high, how, source


def span(low: int, high: int) -> str:
    """A range in words; one figure where both ends are the same to three digits."""
    return binary(low) if binary(low) == binary(high) else f"{binary(low)} to {binary(high)}"
