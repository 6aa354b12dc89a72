"""What makes no sense for a kind of model: settings of text generation for models that read everything at once."""

from __future__ import annotations

from dataclasses import replace

from memcalc.architectures.encoder import EncoderSpec
from memcalc.architectures.spec import ModelSpec
from memcalc.errors import ScenarioError
from memcalc.scenario import SERVERS, Inference, Scenario

READS = "the model reads all tokens at once and writes none"


def fitted(scenario: Scenario, spec: ModelSpec, assumptions: list[str]) -> Scenario:
    """``scenario`` as it applies to the kind of model that ``spec`` is; what cannot be is refused by name."""
    if spec.generates:
        return scenario
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
