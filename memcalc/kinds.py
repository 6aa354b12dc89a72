"""What makes no sense for a kind of model: settings of text generation for models that read everything at once."""

from __future__ import annotations

from dataclasses import replace

from memcalc.architectures.encoder import EncoderSpec
from memcalc.architectures.images import ImageSpec
from memcalc.architectures.spec import ModelSpec
from memcalc.errors import ScenarioError
from memcalc.scenario import SERVERS, Inference, Scenario

SMALLEST, LARGEST = 32, 8192
"""Pixels a side: less than 32 leaves nothing to the last stage."""

READS = "the model reads all tokens at once and writes none"


def fitted(scenario: Scenario, spec: ModelSpec, assumptions: list[str]) -> Scenario:
    """``scenario`` as it applies to the kind of model that ``spec`` is; what cannot be is refused by name."""
    if spec.generates:
        return scenario if scenario.image_size is None else _without_pictures(scenario, assumptions)
    if spec.sees:
        return _pictures(scenario, spec, assumptions)
    if scenario.image_size is not None:
        scenario = _without_pictures(scenario, assumptions)
    if scenario.task == "train":
        _check_training(scenario, spec)
        return scenario
    inference = scenario.inference
    if inference.runtime in SERVERS:
        raise ScenarioError(
            f"{inference.runtime} has no program for this model here: {READS}, so there is no cache to serve from",
            "inference.runtime",
            ["forward"],
        )
    assumptions.append(
        f"{READS}: inference is one forward pass of prompt_tokens; new_tokens, kv_cache, beams and logits do not apply"
    )
    usual = Inference(runtime="forward", new_tokens=0, logits="all")
    return replace(scenario, inference=replace(usual, prompt_tokens=inference.prompt_tokens, weights=inference.weights))


def _without_pictures(scenario: Scenario, assumptions: list[str]) -> Scenario:
    assumptions.append("image_size is ignored: the model reads text")
    return replace(scenario, image_size=None)


def _pictures(scenario: Scenario, spec: ModelSpec, assumptions: list[str]) -> Scenario:
    """A classifier of pictures: a side in pixels takes the place of all lengths."""
    assert isinstance(spec, ImageSpec)
    side = scenario.image_size or spec.side
    if not SMALLEST <= side <= LARGEST:
        raise ScenarioError(f"image_size must be from {SMALLEST} to {LARGEST:,} pixels", "image_size")
    if scenario.image_size is None:
        assumptions.append(f"pictures of {side} × {side} pixels, the model's own size")
    scenario = replace(scenario, image_size=side)
    if scenario.attention_mask != "none":
        assumptions.append("attention_mask is ignored: pictures have no padding")
        scenario = replace(scenario, attention_mask="none")
    if scenario.task == "train":
        if scenario.seq_len is not None:
            assumptions.append("seq_len is ignored: a picture's size is image_size")
        _check_training(scenario, spec)
        _check_pictures(scenario)
        return replace(scenario, seq_len=1)
    inference = scenario.inference
    if inference.runtime in SERVERS:
        raise ScenarioError(f"{inference.runtime} serves models that write text", "inference.runtime", ["forward"])
    if inference.weights != "same":
        raise ScenarioError("quantised weights have no program for this model", "inference.weights", ["same"])
    return replace(scenario, inference=Inference(runtime="forward", new_tokens=0, logits="all", prompt_tokens=1))


def _check_pictures(scenario: Scenario) -> None:
    settings = scenario.training
    if settings.method not in ("full", "head"):
        raise ScenarioError(f"{settings.method} has no program for this model", "training.method", ["full", "head"])
    if settings.checkpointing != "none":
        raise ScenarioError(
            "the model's code has no switch for gradient checkpointing", "training.checkpointing", ["none"]
        )


def _check_training(scenario: Scenario, spec: ModelSpec) -> None:
    settings = scenario.training
    if isinstance(spec, EncoderSpec) and spec.head == "none":
        raise ScenarioError(
            "the bare model has no loss to train on: name a head in the configuration's architectures",
            "task",
            ["infer"],
        )
    for name, value, usual in (("loss", settings.loss, "standard"), ("liger", settings.liger, False)):
        if value != usual:
            raise ScenarioError(
                f"training.{name} has no program for this model: its loss and norms are torch's own",
                f"training.{name}",
                [usual],
            )
