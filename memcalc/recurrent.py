"""What has been followed for models with recurrent states, and what is refused by name."""

from __future__ import annotations

from memcalc.architectures.mamba import MambaSpec
from memcalc.architectures.programs import PROGRAMS
from memcalc.architectures.rwkv import RwkvSpec
from memcalc.architectures.spec import ModelSpec
from memcalc.architectures.ssd import Ssd
from memcalc.errors import ScenarioError
from memcalc.formats import Format
from memcalc.quantisation import SAME
from memcalc.scenario import SERVERS, LoraSettings, Scenario
from memcalc.units import binary

FORMATS = ("same", "static")
"""Caches of transformers that take recurrent layers [5.23 cache_utils.py: DynamicCache and StaticCache]."""

UNADAPTED = ("falcon_h1", "mamba", "mamba2", "nemotron_h")
"""Families whose out_proj PEFT does not adapt [0.21 tuners/tuners_utils.py, _check_lora_target_modules_mamba]."""


def check(scenario: Scenario, spec: ModelSpec) -> None:
    """Refuse what has no program yet for a model with recurrent states."""
    if not spec.recurrent:
        return
    if scenario.task == "train" and scenario.training.lora is not None:
        _check_adapters(scenario.training.lora, spec.family)
    if spec.family == "zamba2":
        _check_zamba2(scenario)
    if scenario.task == "train" and scenario.training.method == "qlora" and spec.family != "qwen3_next":
        raise ScenarioError(
            f"quantised weights were not followed through the training of {spec.family}",
            "training.method",
            ["full", "lora", "head"],
        )
    inference = scenario.inference
    if inference.runtime in SERVERS:
        raise ScenarioError(
            f"{inference.runtime} has no program yet for the recurrent states of {spec.family}",
            "inference.runtime",
            ["transformers", "forward"],
        )
    if inference.kv_cache not in FORMATS:
        raise ScenarioError(
            "transformers' quantised caches have no recurrent layers", "inference.kv_cache", list(FORMATS)
        )
    if spec.family == "rwkv" and scenario.task == "infer":
        _check_rwkv(scenario)
    if inference.kv_cache == "static" and spec.family in ("falcon_h1", "zamba2"):
        raise ScenarioError(
            "transformers' static cache has no layer that keeps both tokens and states", "inference.kv_cache", ["same"]
        )
    # Falcon-Mamba and Jamba have a way around it.
    if inference.weights != SAME and isinstance(spec, MambaSpec) and spec.family == "mamba" and not spec.inner_norms:
        raise ScenarioError(
            "Mamba's own code multiplies with dt_proj.weight itself, which a quantised layer has not",
            "inference.weights",
            [SAME],
        )


def _check_adapters(lora: LoraSettings, family: str) -> None:
    program = PROGRAMS[family]
    unused = ["dt_proj"] if family in ("mamba", "jamba") else []
    refused = ["out_proj"] if family in UNADAPTED else []
    asked = program.linear_names if lora.targets == "all-linear" else lora.targets or ()
    for one in asked:
        if one in (*refused, *unused):
            raise ScenarioError(
                "PEFT refuses adapters on out_proj of Mamba's models: kernels would pass them by"
                if one in refused
                else "the model's code multiplies with dt_proj.weight itself: an adapter on it would never be used",
                "training.lora.targets",
                [name for name in program.linear_names if name not in (*refused, *unused)],
            )


def _check_zamba2(scenario: Scenario) -> None:
    """What would take the blocks that several layers share apart, or run one checkpoint within another."""
    training = scenario.training
    if scenario.task == "infer" and scenario.inference.weights != SAME:
        raise ScenarioError("quantised blocks that layers share have no program yet", "inference.weights", [SAME])
    if scenario.task == "train" and training.method != "full":
        raise ScenarioError("adapters on blocks that layers share have no program yet", "training.method", ["full"])
    if scenario.task == "train" and training.checkpointing != "none":
        raise ScenarioError(
            "zamba2's layers are checkpoints within checkpoints, which have no program yet",
            "training.checkpointing",
            ["none"],
        )


def _check_rwkv(scenario: Scenario) -> None:
    if scenario.inference.kv_cache != SAME:
        raise ScenarioError("RWKV's own code makes its states itself", "inference.kv_cache", [SAME])
    if scenario.inference.weights != SAME:
        raise ScenarioError(
            "RWKV's own code divides the weights of some layers, which takes quantised ones out of their format",
            "inference.weights",
            [SAME],
        )


def kernels_keep(spec: ModelSpec, tokens: int, size: int) -> int | None:
    """Bytes that the fused kernels would keep for backward of all recurrent layers, for ``tokens`` of values of
    ``size`` bytes; None where it was not read in their source.

    mamba-ssm 2 keeps a mixer's projection, the scan's result and a number for each group of the norm [ops/triton/
    ssd_combined.py, MambaSplitConv1dScanCombinedFn]; RWKV's kernel keys, values and its result [transformers 5.23
    models/rwkv/modeling_rwkv.py, RwkvLinearAttention].

    >>> from memcalc.models import catalogue
    >>> kernels_keep(catalogue.describe("Mamba-Codestral-7B-v0.1").spec, 1, 2)  # 64 · ((18560 + 8192) · 2 + 8 · 4)
    3426304
    """
    layers = sum(bool(spec.states(layer)) for layer in range(spec.layers))
    if isinstance(spec, RwkvSpec):
        return layers * tokens * 3 * spec.inner * size
    one = getattr(spec, "ssd", None)
    if not isinstance(one, Ssd):
        return None
    projected = 2 * one.inner + one.projections + one.heads
    return layers * tokens * ((projected + one.inner) * size + one.groups * Format.FP32.size)


def training_notes(spec: ModelSpec, tokens: int, size: int) -> list[str]:
    """What an estimate of training such a model has to say; ``tokens`` of a micro-batch, ``size``: bytes of a value."""
    found = notes(spec)
    kept = kernels_keep(spec, tokens, size) if spec.recurrent else None
    if kept is not None:
        found.append(
            f"fused kernels would keep {binary(kept)} of all recurrent layers for backward, where autograd keeps what "
            "the code above computes; the range does not include them"
        )
    return found


def generation_notes(spec: ModelSpec) -> list[str]:
    """What an estimate of generating text with such a model has to say."""
    if spec.family != "rwkv":
        return notes(spec)
    return [
        *notes(spec),
        "RWKV: transformers 5.23 takes the sequences of a batch for tokens when it generates for several at once, "
        "batch × batch in each layer: the memory is that of its code",
    ]


def notes(spec: ModelSpec) -> list[str]:
    """What any estimate of such a model has to say."""
    if not spec.recurrent:
        return []
    if spec.family == "rwkv":
        return [
            "RWKV: transformers' own loop over the tokens, as where the packages kernels and ninja are not installed; "
            "the kernel that they would fetch needs far less"
        ]
    return [
        "recurrent layers: transformers' own code without the kernels of mamba-ssm, causal-conv1d or "
        "flash-linear-attention, which need far less for a long prompt; what they keep for a sequence does not grow"
    ]
