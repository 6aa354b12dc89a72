"""The scenario: what was asked, checked, with every default filled in.

``Scenario.read`` takes the contract's JSON object. Values that cannot be understood raise ScenarioError
with the field's dotted path and the choices; fields that do not apply are dropped and named in ``notes``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from memcalc.errors import ScenarioError
from memcalc.training.optimizers import IMPLEMENTATIONS
from memcalc.training.precision import INFERENCE, TRAINING

LARGEST_COUNT = 2**31 - 1
"""The longest dimension taken for batch, lengths and counts: torch indexes larger ones, nobody runs them."""

ATTENTION = ("sdpa", "flash", "efficient", "math", "eager")
METHODS = ("full", "lora")
CHECKPOINTING = ("none", "full")
LORA_DTYPES = ("fp32", "bf16", "fp16")
RUNTIMES = ("transformers", "forward")
OPTIMIZER_OPTIONS = {
    "adamw": ("weight_decay", "amsgrad"),
    "adam": ("weight_decay", "amsgrad"),
    "sgd": ("weight_decay", "momentum"),
    "sgd-momentum": ("weight_decay", "momentum"),
    "adagrad": ("weight_decay",),
    "rmsprop": ("weight_decay", "momentum", "centered"),
    "adafactor": ("weight_decay",),
    "adafactor-hf": ("weight_decay", "beta1"),
}
ELSEWHERE = {
    # Fields of the contract that this version only understands at their neutral value.
    "training.base_weights": (None,),
    "training.loss": ("standard",),
    "training.liger": (False,),
    "training.activation_offload": (False,),
    "inference.weights": ("same",),
    "inference.kv_cache": ("same",),
    "inference.beams": (1,),
}
OTHER_RUNTIMES = (
    "version", "max_model_len", "max_num_seqs", "max_num_batched_tokens", "gpu_memory_utilization",
    "activation_bytes", "non_torch_bytes", "n_ctx", "n_ubatch", "flash_attention", "gpu_layers", "parallel",
    "images", "steps", "offload",
)  # fmt: skip
PARALLEL = ("data", "strategy", "tensor", "sequence", "pipeline", "schedule", "context", "expert", "offload")


@dataclass(frozen=True, slots=True)
class LoraSettings:
    """Rank, targets (None: PEFT's usual ones for the model), adapter format, dropout."""

    r: int = 16
    targets: tuple[str, ...] | str | None = None
    dtype: str = "fp32"
    dropout: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        targets = list(self.targets) if isinstance(self.targets, tuple) else self.targets
        return {"r": self.r, "targets": targets, "dtype": self.dtype, "dropout": self.dropout}


@dataclass(frozen=True, slots=True)
class Training:
    """How the training step is made."""

    method: str = "full"
    optimizer: str = "adamw"
    optimizer_impl: str = "foreach"
    optimizer_options: Mapping[str, Any] = field(default_factory=dict)
    grad_accumulation: int = 1
    checkpointing: str = "none"
    lora: LoraSettings | None = None
    gradient_dtype: str | None = None
    zero_grad: str = "set-to-none"
    clip_grad: bool = False
    ema: bool = False

    def as_dict(self) -> dict[str, Any]:
        found: dict[str, Any] = {
            "method": self.method,
            "optimizer": self.optimizer,
            "optimizer_impl": self.optimizer_impl,
            "optimizer_options": dict(self.optimizer_options),
            "grad_accumulation": self.grad_accumulation,
            "checkpointing": self.checkpointing,
            "loss": "standard",
            "zero_grad": self.zero_grad,
            "clip_grad": self.clip_grad,
            "ema": self.ema,
            "liger": False,
            "activation_offload": False,
        }
        if self.lora is not None:
            found["lora"] = self.lora.as_dict()
        if self.gradient_dtype is not None:
            found["gradient_dtype"] = self.gradient_dtype
        return found


@dataclass(frozen=True, slots=True)
class Inference:
    """How the generation (or the one forward pass) is made. ``prompt_tokens`` is filled in once the model is known."""

    prompt_tokens: int | None = None
    new_tokens: int = 128
    runtime: str = "transformers"
    logits: str = "last"

    def as_dict(self) -> dict[str, Any]:
        return {
            "weights": "same",
            "kv_cache": "same",
            "prompt_tokens": self.prompt_tokens,
            "new_tokens": self.new_tokens,
            "runtime": self.runtime,
            "logits": self.logits,
            "beams": 1,
        }


@dataclass(frozen=True, slots=True)
class Hardware:
    """A GPU by name (or "16GB", "live:0") and the bytes to keep free on it."""

    gpu: str | None = None
    count: int = 1
    reserve: int = 0

    def as_dict(self) -> dict[str, Any]:
        return {"gpu": self.gpu, "count": self.count, "reserve": self.reserve}


@dataclass(frozen=True, slots=True)
class Scenario:
    """One question: this model, this task, these settings. Make it with ``Scenario.read``."""

    model: Any
    task: str = "infer"
    precision: str = "bf16"
    batch: int = 1
    seq_len: int | None = None
    attention: str = "sdpa"
    attention_mask: str = "none"
    training: Training = field(default_factory=Training)
    inference: Inference = field(default_factory=Inference)
    hardware: Hardware = field(default_factory=Hardware)
    notes: tuple[str, ...] = ()

    @classmethod
    def read(cls, raw: Mapping[str, Any] | Scenario) -> Scenario:
        """Check the contract's object. Lengths that are not given stay None until the model is known."""
        if isinstance(raw, Scenario):
            return raw
        if not isinstance(raw, Mapping):
            raise ScenarioError("a scenario must be a JSON object", "")
        return _read(raw)

    def as_dict(self) -> dict[str, Any]:
        """The scenario as understood, defaults filled in."""
        found: dict[str, Any] = {
            "model": self.model,
            "task": self.task,
            "precision": self.precision,
            "batch": self.batch,
            "attention": self.attention,
            "attention_mask": self.attention_mask,
        }
        if self.task == "train":
            found["seq_len"] = self.seq_len
            found["training"] = self.training.as_dict()
        else:
            found["inference"] = self.inference.as_dict()
        found["hardware"] = self.hardware.as_dict() if self.hardware.gpu or self.hardware.reserve else None
        return found


class _Fields:
    """Reads checked values out of one object of the scenario, under its dotted path."""

    def __init__(self, raw: Any, path: str = "") -> None:
        if not isinstance(raw, Mapping):
            raise ScenarioError(f"{path} must be an object", path)
        self.raw = raw
        self.path = path
        self.seen: set[str] = set()

    def at(self, name: str) -> str:
        return f"{self.path}.{name}" if self.path else name

    def get(self, name: str) -> Any:
        self.seen.add(name)
        return self.raw.get(name)

    def choice(self, name: str, choices: Sequence[str], default: str) -> str:
        value = self.get(name)
        if value is None:
            return default
        if not isinstance(value, str) or value not in choices:
            raise ScenarioError(
                f"{self.at(name)} must be one of the choices, not {_shown(value)}", self.at(name), choices
            )
        return value

    def whole(self, name: str, default: int, low: int = 1, high: int = LARGEST_COUNT) -> int:
        value = self.get(name)
        if value is None:
            return default
        if isinstance(value, float) and math.isfinite(value) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise ScenarioError(
                f"{self.at(name)} must be a whole number from {low:,} to {high:,}, not {_shown(value)}", self.at(name)
            )
        return value

    def fraction(self, name: str, default: float) -> float:
        value = self.get(name)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1:
            raise ScenarioError(
                f"{self.at(name)} must be a number from 0 to below 1, not {_shown(value)}", self.at(name)
            )
        return float(value)

    def flag(self, name: str, default: bool = False) -> bool:
        value = self.get(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise ScenarioError(
                f"{self.at(name)} must be true or false, not {_shown(value)}", self.at(name), [True, False]
            )
        return value

    def neutral(self, name: str) -> None:
        """A field that is only understood at its neutral value so far."""
        value = self.get(name)
        allowed = ELSEWHERE[self.at(name)]
        if value is not None and not any(type(value) is type(one) and value == one for one in allowed):
            raise ScenarioError(
                f"{self.at(name)} = {_shown(value)} is not supported yet",
                self.at(name),
                [one for one in allowed if one is not None],
            )

    def finish(self, known: Sequence[str] = ()) -> None:
        for name in self.raw:
            if name not in self.seen and name not in known:
                raise ScenarioError(
                    f"unknown field {self.at(str(name))}", self.at(str(name)), sorted(self.seen | set(known))
                )


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _read(raw: Mapping[str, Any]) -> Scenario:
    top = _Fields(raw)
    notes: list[str] = []
    model = top.get("model")
    if model is None:
        raise ScenarioError("model is required", "model")
    task = top.choice("task", ("train", "infer"), "infer")
    training = _training(top, task, notes)
    precision = top.choice("precision", tuple(TRAINING if task == "train" else INFERENCE), "bf16")
    batch = top.whole("batch", 1)
    seq_len = top.get("seq_len")
    if task == "train":
        seq_len = None if seq_len is None else top.whole("seq_len", 1)
    elif seq_len is not None:
        notes.append("seq_len is ignored: inference takes its lengths from inference.prompt_tokens and new_tokens")
        seq_len = None
    for name in ("target_len", "image_size", "text_len"):
        if top.get(name) is not None:
            notes.append(f"{name} is ignored: it does not apply to a decoder-only language model")
    attention = top.choice("attention", ATTENTION, "sdpa")
    mask = top.choice("attention_mask", ("none", "padded"), "none")
    inference = _inference(top, task, notes)
    hardware = _hardware(top)
    _parallel(top)
    top.finish()
    return Scenario(
        model, task, precision, batch, seq_len, attention, mask, training, inference, hardware, tuple(notes)
    )


def _training(top: _Fields, task: str, notes: list[str]) -> Training:
    raw = top.get("training")
    read = _Fields({} if raw is None else raw, "training")
    method = read.choice("method", METHODS, "full")
    optimizer = read.choice("optimizer", tuple(IMPLEMENTATIONS), "adamw")
    possible = IMPLEMENTATIONS[optimizer]
    wished = read.choice("optimizer_impl", ("foreach", "fused", "for-loop"), possible[0])
    if wished not in possible:
        if wished == "fused":
            raise ScenarioError(
                f"{optimizer} has no fused implementation on a GPU", "training.optimizer_impl", possible
            )
        notes.append(f"training.optimizer_impl is ignored: {optimizer} only runs as {possible[0]}")
        wished = possible[0]
    lora = _lora(read.get("lora")) if read.raw.get("lora") is not None else None
    read.seen.add("lora")
    if method == "lora":
        lora = lora or LoraSettings()
    elif lora is not None:
        notes.append("training.lora is ignored: training.method is not lora")
        lora = None
    gradient_dtype = read.get("gradient_dtype")
    if gradient_dtype not in (None, "fp32"):
        raise ScenarioError("training.gradient_dtype must be fp32 (or left out)", "training.gradient_dtype", ["fp32"])
    for name in ("base_weights", "loss", "liger", "activation_offload"):
        if name == "base_weights" and method != "qlora" and read.raw.get(name) is not None:
            read.seen.add(name)
            notes.append("training.base_weights is ignored: training.method is not qlora")
            continue
        read.neutral(name)
    found = Training(
        method=method,
        optimizer=optimizer,
        optimizer_impl=wished,
        optimizer_options=_options(read.get("optimizer_options"), optimizer, notes),
        grad_accumulation=read.whole("grad_accumulation", 1),
        checkpointing=read.choice("checkpointing", CHECKPOINTING, "none"),
        lora=lora,
        gradient_dtype=gradient_dtype,
        zero_grad=read.choice("zero_grad", ("set-to-none", "keep"), "set-to-none"),
        clip_grad=read.flag("clip_grad"),
        ema=read.flag("ema"),
    )
    read.finish()
    if task != "train":
        if raw is not None:
            notes.append("training is ignored: the task is infer")
        return Training()
    return found


def _lora(raw: Any) -> LoraSettings:
    read = _Fields(raw, "training.lora")
    targets = read.get("targets")
    if isinstance(targets, str) and targets != "all-linear":
        targets = [targets]
    if isinstance(targets, Sequence) and not isinstance(targets, str):
        if not targets or not all(isinstance(one, str) for one in targets):
            raise ScenarioError(
                "training.lora.targets must be names of linear layers", "training.lora.targets", ["all-linear"]
            )
        targets = tuple(targets)
    elif targets is not None and targets != "all-linear":
        raise ScenarioError(
            "training.lora.targets must be a list of names or all-linear", "training.lora.targets", ["all-linear"]
        )
    found = LoraSettings(
        read.whole("r", 16, high=65_536),
        targets,
        read.choice("dtype", LORA_DTYPES, "fp32"),
        read.fraction("dropout", 0.0),
    )
    read.finish()
    return found


def _options(raw: Any, optimizer: str, notes: list[str]) -> dict[str, Any]:
    """The hyperparameters that change memory, with torch's defaults where they are not given."""
    defaults: dict[str, Any] = {"weight_decay": 0.01} if optimizer == "adamw" else {}
    if raw is None:
        return defaults
    read = _Fields(raw, "training.optimizer_options")
    found: dict[str, Any] = dict(defaults)
    for name in OPTIMIZER_OPTIONS[optimizer]:
        value = read.get(name)
        if value is None:
            continue
        if name in ("amsgrad", "centered"):
            found[name] = read.flag(name)
        elif isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
            raise ScenarioError(f"{read.at(name)} must be a number of at least 0", read.at(name))
        else:
            found[name] = value
    known = {name for names in OPTIMIZER_OPTIONS.values() for name in names} | {"lr", "eps", "betas", "rank"}
    for name in read.raw:
        if name in known and name not in read.seen:
            notes.append(f"training.optimizer_options.{name} does not change the memory of {optimizer}: ignored")
    read.finish(tuple(known))
    return found


def _inference(top: _Fields, task: str, notes: list[str]) -> Inference:
    raw = top.get("inference")
    if raw is None:
        return Inference()
    read = _Fields(raw, "inference")
    runtime = read.choice("runtime", RUNTIMES, "transformers")
    for name in ("weights", "kv_cache", "beams"):
        read.neutral(name)
    for name in OTHER_RUNTIMES:
        if read.get(name) is not None:
            notes.append(f"inference.{name} is ignored: it does not apply to the runtime {runtime}")
    found = Inference(
        prompt_tokens=None if read.get("prompt_tokens") is None else read.whole("prompt_tokens", 1),
        new_tokens=read.whole("new_tokens", 128, low=0 if runtime == "forward" else 1),
        runtime=runtime,
        logits=read.choice("logits", ("last", "all"), "all" if runtime == "forward" else "last"),
    )
    read.finish()
    if task != "infer":
        notes.append("inference is ignored: the task is train")
        return Inference()
    return found


def _hardware(top: _Fields) -> Hardware:
    raw = top.get("hardware")
    if raw is None:
        return Hardware()
    read = _Fields(raw, "hardware")
    gpu = read.get("gpu")
    if gpu is not None and not isinstance(gpu, str):
        raise ScenarioError("hardware.gpu must be the name of a GPU, a size such as 16GB, or live:0", "hardware.gpu")
    found = Hardware(gpu, read.whole("count", 1), read.whole("reserve", 0, low=0, high=2**50))
    read.finish()
    return found


def _parallel(top: _Fields) -> None:
    """Only one device so far: sizes of 1 and ``none`` say just that."""
    raw = top.get("parallel")
    if raw is None:
        return
    read = _Fields(raw, "parallel")
    for name in PARALLEL:
        value = read.get(name)
        if name in ("data", "tensor", "pipeline", "context", "expert"):
            if read.whole(name, 1) != 1:
                raise ScenarioError(f"{read.at(name)}: only one device is supported so far", read.at(name), [1])
        elif name == "offload" and value not in (None, "none"):
            raise ScenarioError("parallel.offload is not supported yet", "parallel.offload", ["none"])
    read.finish()
