"""What makes sense for a kind of model: generation for models that write text, one pass for those that only read, and
the lengths that each kind has."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any

from memcalc.architectures.denoiser import LATENT, DenoiserSpec
from memcalc.architectures.encoder import EncoderSpec
from memcalc.architectures.images import ImageSpec
from memcalc.architectures.seq2seq import Seq2SeqSpec
from memcalc.architectures.spec import ModelSpec
from memcalc.errors import MemcalcError, ScenarioError
from memcalc.models import describe
from memcalc.scenario import SERVERS, Inference, Scenario

SMALLEST, LARGEST = 32, 8192
"""Pixels a side: less than 32 leaves nothing to the last stage."""

READS = "the model reads all tokens at once and writes none"
TARGET = 128
"""Tokens of a decoder's sequence, where the scenario does not say [the contract's default]."""


_OF_DECODERS = frozenset(("image_size", "target_len"))
_WRITING = ("inference.runtime", "inference.new_tokens", "inference.kv_cache", "inference.beams", "inference.logits")


_LOSSES = ("training.loss", "training.liger")


def idle(spec: ModelSpec) -> frozenset[str]:
    """The fields of a scenario that decide nothing for a kind of model, or that it has no choice in."""
    if spec.sees:
        lengths = ("seq_len", "target_len", "attention_mask", "inference.prompt_tokens", "inference.weights")
        return frozenset((*_WRITING, *_LOSSES, *lengths))
    if isinstance(spec, Seq2SeqSpec):
        fixed = ("seq_len", "attention_mask", "inference.prompt_tokens") if spec.sources else ()
        return frozenset(("image_size", "inference.kv_cache", "inference.logits", *_LOSSES, *fixed))
    return _OF_DECODERS if spec.generates else _OF_DECODERS.union(_WRITING, _LOSSES)


def idle_in(scenario: Mapping[str, Any]) -> frozenset[str]:
    """The same for a scenario's model; one that only a file or the network describes is taken as a decoder."""
    model = scenario.get("model")
    if isinstance(model, Mapping) and not model.keys() & {"hub", "gguf", "safetensors"}:
        model = json.dumps(model, sort_keys=True)
    return _idle(model) if isinstance(model, str) else _OF_DECODERS


@lru_cache(maxsize=256)
def _idle(model: str) -> frozenset[str]:
    try:
        return idle(describe(json.loads(model) if model.startswith("{") else model, allow_files=False).spec)
    except MemcalcError:
        return _OF_DECODERS


def sees(scenario: Mapping[str, Any]) -> bool:
    """Whether a scenario's model looks at pictures: a side in pixels is then what other models' lengths are."""
    return "image_size" not in idle_in(scenario)


def two_sided(scenario: Mapping[str, Any]) -> bool:
    """Whether a scenario's model has an encoder and a decoder, each with a length of its own."""
    return "target_len" not in idle_in(scenario)


def fitted(scenario: Scenario, spec: ModelSpec, assumptions: list[str]) -> Scenario:
    """``scenario`` as it applies to the kind of model that ``spec`` is; what cannot be is refused by name."""
    if scenario.text_len is not None and not (isinstance(spec, DenoiserSpec) and spec.text):
        assumptions.append("text_len is ignored: it applies to models that make pictures from text")
        scenario = replace(scenario, text_len=None)
    if isinstance(spec, Seq2SeqSpec):
        if scenario.image_size is not None:
            scenario = _without_pictures(scenario, assumptions)
        return _two_sided(scenario, spec, assumptions)
    if scenario.target_len is not None:
        assumptions.append("target_len is ignored: it applies to models with an encoder and a decoder")
        scenario = replace(scenario, target_len=None)
    if spec.generates:
        return scenario if scenario.image_size is None else _without_pictures(scenario, assumptions)
    if spec.sees:
        return _pictures(scenario, spec, assumptions)
    if scenario.image_size is not None:
        scenario = _without_pictures(scenario, assumptions)
    if scenario.task == "train":
        _check_training(scenario)
        if isinstance(spec, EncoderSpec) and spec.head == "none":
            raise ScenarioError(
                "the bare model has no loss to train on: name a head in the configuration's architectures",
                "task",
                ["infer"],
            )
        return scenario
    inference = scenario.inference
    _check_runtime(inference, f"{READS}, so there is no cache to serve from", ["forward"])
    assumptions.append(
        f"{READS}: inference is one forward pass of prompt_tokens; new_tokens, kv_cache, beams and logits do not apply"
    )
    usual = Inference(runtime="forward", new_tokens=0, logits="all")
    return replace(scenario, inference=replace(usual, prompt_tokens=inference.prompt_tokens, weights=inference.weights))


def sized(spec: ModelSpec, scenario: Scenario) -> ModelSpec:
    """A model that sees pictures as it is built for those of the (fitted) ``scenario``; any other as it is."""
    if not isinstance(spec, ImageSpec):
        return spec
    assert scenario.image_size is not None
    return spec.sized(scenario.image_size)


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
    elif side != spec.side:
        assumptions += spec.resized(side)
    scenario = replace(scenario, image_size=side)
    if isinstance(spec, DenoiserSpec):
        if side % LATENT:
            raise ScenarioError(f"image_size must be a multiple of {LATENT}: the latents' size", "image_size")
        scenario = replace(scenario, text_len=(scenario.text_len or spec.text) or None)
    if scenario.attention == "eager" and not spec.has_eager and not spec.attention_free:
        assumptions.append(f"attention: {spec.library}'s code always calls torch's, eager does not apply")
        scenario = replace(scenario, attention="sdpa")
    if scenario.attention_mask != "none":
        assumptions.append("attention_mask is ignored: pictures have no padding")
        scenario = replace(scenario, attention_mask="none")
    if scenario.task == "train":
        if scenario.seq_len is not None:
            assumptions.append("seq_len is ignored: a picture's size is image_size")
        _check_training(scenario)
        _check_pictures(scenario, spec)
        if scenario.training.lora is not None:
            assumptions.append("the head stays frozen: PEFT trains it only where modules_to_save names it")
        return replace(scenario, seq_len=spec.tokens(side))
    inference = scenario.inference
    if inference.runtime in SERVERS:
        raise ScenarioError(f"{inference.runtime} serves models that write text", "inference.runtime", ["forward"])
    if inference.weights != "same":
        raise ScenarioError("quantised weights have no program for this model", "inference.weights", ["same"])
    return replace(
        scenario, inference=Inference(runtime="forward", new_tokens=0, logits="all", prompt_tokens=spec.tokens(side))
    )


def _check_pictures(scenario: Scenario, spec: ImageSpec) -> None:
    settings = scenario.training
    for name, value, known in (
        ("method", settings.method, spec.methods),
        ("checkpointing", settings.checkpointing, spec.checkpoints),
    ):
        if value not in known:
            raise ScenarioError(f"{name} {value} has no program for this model", f"training.{name}", known)
    if not spec.blocked and scenario.parallel.shards in ("zero3", "fsdp2"):
        raise ScenarioError("what is gathered of this model at once is not known", "parallel.strategy",
                            ["ddp", "zero1", "zero2"])  # fmt: skip
    if not spec.blocked and settings.optimizer == "muon":
        raise ScenarioError("which matrices Muon would step of this model is not known", "training.optimizer")


def _check_runtime(inference: Inference, why: str, choices: list[str]) -> None:
    if inference.runtime in SERVERS:
        raise ScenarioError(
            f"{inference.runtime} has no program for this model here: {why}", "inference.runtime", choices
        )


def _check_training(scenario: Scenario) -> None:
    settings = scenario.training
    for name, value, usual in (("loss", settings.loss, "standard"), ("liger", settings.liger, False)):
        if value != usual:
            raise ScenarioError(
                f"training.{name} has no program for this model: its loss and norms are torch's own",
                f"training.{name}",
                [usual],
            )


def _two_sided(scenario: Scenario, spec: Seq2SeqSpec, assumptions: list[str]) -> Scenario:
    """An encoder-decoder: the encoder's tokens are the scenario's length (or prompt), the decoder's its target."""
    count = spec.encoder_layers
    assumptions.append(f"blocks 1–{count} are the encoder's, {count + 1}–{count + spec.layers} the decoder's")
    if spec.sources:
        scenario = _of_fixed_length(scenario, spec, assumptions)
    inference = scenario.inference
    passes = scenario.task == "train" or inference.runtime == "forward"
    if scenario.task == "train":
        _check_training(scenario)
    else:
        _check_runtime(inference, "it serves decoders here, not encoders with decoders", ["transformers", "forward"])
        if inference.kv_cache != "same":
            raise ScenarioError(
                "caches of other formats were followed for decoders only", "inference.kv_cache", ["same"]
            )
    if not passes:
        if scenario.target_len is not None:
            assumptions.append("target_len is ignored: a generation's length is inference.new_tokens")
        _reach(inference.new_tokens, spec, "inference.new_tokens")
        return replace(scenario, target_len=None, inference=replace(inference, logits="last"))
    target = scenario.target_len or min(TARGET, spec.max_targets)
    if scenario.target_len is None:
        assumptions.append(f"target_len: {target:,} tokens for the decoder, where the scenario does not say")
    _reach(target, spec, "target_len")
    if scenario.task == "infer":
        scenario = replace(scenario, inference=replace(inference, new_tokens=0, logits="all"))
    return replace(scenario, target_len=target)


def _of_fixed_length(scenario: Scenario, spec: Seq2SeqSpec, assumptions: list[str]) -> Scenario:
    """An encoder that always gives the same number of positions: lengths and padding do not apply to it."""
    fixed, inference = spec.sources, scenario.inference
    field, given = ("seq_len", scenario.seq_len)
    if scenario.task == "infer":
        field, given = "inference.prompt_tokens", inference.prompt_tokens
    if given not in (None, fixed):
        assumptions.append(f"{field} is ignored: the encoder always has {fixed:,} positions")
    if scenario.attention_mask != "none":
        assumptions.append("attention_mask is ignored: the encoder reads silence as it reads sound")
    inference = replace(inference, prompt_tokens=fixed if scenario.task == "infer" else None)
    return replace(scenario, seq_len=fixed, attention_mask="none", inference=inference)


def _reach(tokens: int, spec: Seq2SeqSpec, field: str) -> None:
    if tokens > spec.max_targets:
        raise ScenarioError(
            f"the decoder has learned positions for {spec.max_targets:,} tokens, {tokens:,} are asked for", field
        )
