"""What a trace has to do, read from a contract scenario: plain values with the contract's defaults filled in.

The tracer reads scenarios by itself, so that nothing but the contract joins it to the rest of memcalc.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from memcalc.errors import ScenarioError

PRECISIONS = ("fp32", "bf16", "fp16", "bf16-mixed", "fp16-mixed", "bf16-master", "fp16-master")
ATTENTIONS = ("sdpa", "flash", "efficient", "math", "eager")
FOUR_BIT = ("nf4-dq", "nf4", "fp4-dq", "fp4")


@dataclass(frozen=True)
class Recipe:
    """One run, as the contract describes it. Lengths in tokens, ``image_size`` in pixels a side."""

    model: Any
    task: str
    precision: str
    batch: int
    seq_len: int | None
    target_len: int
    image_size: int | None
    text_len: int | None
    attention: str
    padded: bool
    method: str = "full"
    optimizer: str = "adamw"
    optimizer_impl: str = "foreach"
    optimizer_options: Mapping[str, Any] = field(default_factory=dict)
    grad_accumulation: int = 1
    checkpointing: str = "none"
    lora: Mapping[str, Any] = field(default_factory=dict)
    base_weights: str | None = None
    zero_grad: str = "set-to-none"
    clip_grad: bool = False
    ema: bool = False
    activation_offload: bool = False
    liger: bool = False
    fused_loss: bool = False
    prompt_tokens: int = 2048
    new_tokens: int = 128
    runtime: str = "transformers"
    logits: str = "last"
    factory: Any = None
    make_batch: Any = None

    @property
    def storage_format(self) -> str:
        """Format of the parameters: fp32, bf16 or fp16."""
        return "fp32" if self.precision.endswith("-mixed") else self.precision.removesuffix("-master")

    @property
    def autocast_format(self) -> str | None:
        """Format of the autocast region, None where there is none."""
        return self.precision.removesuffix("-mixed") if self.precision.endswith("-mixed") else None

    @property
    def compute_format(self) -> str:
        """What matrix products are computed in."""
        return self.autocast_format or self.storage_format

    @property
    def master(self) -> bool:
        """Whether fp32 master copies of 16-bit parameters exist."""
        return self.precision.endswith("-master")


def _choice(value: Any, field_name: str, choices: tuple[str, ...]) -> Any:
    if value not in choices:
        raise ScenarioError(f"the tracer does not know {field_name} {value!r}", field_name, choices)
    return value


def _base_weights(task: str, train: Mapping[str, Any], infer: Mapping[str, Any]) -> str | None:
    """The format of the linear layers' weights, None where it is the model's own."""
    if task == "train":
        if train.get("method") != "qlora":
            return None
        return str(_choice(train.get("base_weights", "nf4-dq"), "training.base_weights", FOUR_BIT))
    kind = _choice(infer.get("weights", "same"), "inference.weights", ("same", *FOUR_BIT))
    return None if kind == "same" else str(kind)


def read(scenario: Mapping[str, Any], factory: Any = None, make_batch: Any = None) -> Recipe:
    """A contract scenario as a recipe. Fields that the tracer cannot follow are errors, never ignored. ``factory``
    and ``make_batch`` come from Python only (see ``memcalc.trace.factory``)."""
    train = {k: v for k, v in (scenario.get("training") or {}).items() if v is not None}
    infer = {k: v for k, v in (scenario.get("inference") or {}).items() if v is not None}
    task = _choice(scenario.get("task", "infer"), "task", ("train", "infer"))
    if factory is None and scenario.get("model") is None:
        raise ScenarioError("a scenario needs a model", "model")
    for name, size in (scenario.get("parallel") or {}).items():
        if name in ("data", "tensor") and size not in (None, 1):
            raise ScenarioError("the tracer follows one card", f"parallel.{name}", [1])
    if task == "infer" and infer.get("kv_cache", "same") != "same":
        raise ScenarioError("the tracer does not run quantised caches", "inference.kv_cache", ["same"])
    options = dict(train.get("optimizer_options") or {})
    # Published traces write hyperparameters beside the optimizer's name too.
    for name in ("weight_decay", "amsgrad", "momentum", "centered", "maximize"):
        if name in train:
            options[name] = train[name]
    return Recipe(
        model=scenario.get("model"),
        task=task,
        precision=_choice(scenario.get("precision", "bf16"), "precision", PRECISIONS),
        batch=int(scenario.get("batch") or 1),
        seq_len=scenario.get("seq_len"),
        target_len=int(scenario.get("target_len") or 128),
        image_size=scenario.get("image_size"),
        text_len=scenario.get("text_len"),
        attention=_choice(scenario.get("attention") or "sdpa", "attention", ATTENTIONS),
        padded=_choice(scenario.get("attention_mask") or "none", "attention_mask", ("none", "padded")) == "padded",
        method=_choice(train.get("method", "full"), "training.method", ("full", "lora", "qlora", "dora", "head")),
        optimizer=train.get("optimizer", "adamw"),
        optimizer_impl=_choice(
            train.get("optimizer_impl", "foreach"), "training.optimizer_impl", ("foreach", "fused", "for-loop")
        ),
        optimizer_options=options,
        grad_accumulation=int(train.get("grad_accumulation", 1)),
        checkpointing=_choice(
            train.get("checkpointing", "none"),
            "training.checkpointing",
            ("none", "full", "selective-attention", "selective-ops"),
        ),
        lora=dict(train.get("lora") or {}),
        base_weights=_base_weights(task, train, infer),
        zero_grad=_choice(train.get("zero_grad", "set-to-none"), "training.zero_grad", ("set-to-none", "keep")),
        clip_grad=bool(train.get("clip_grad")),
        ema=bool(train.get("ema")),
        activation_offload=bool(train.get("activation_offload")),
        liger=bool(train.get("liger")),
        fused_loss=_choice(train.get("loss", "standard"), "training.loss", ("standard", "fused")) == "fused",
        prompt_tokens=int(infer.get("prompt_tokens", 2048)),
        new_tokens=int(infer.get("new_tokens", 128)),
        runtime=_choice(infer.get("runtime", "transformers"), "inference.runtime", ("transformers", "forward")),
        logits=_choice(
            infer.get("logits", "all" if infer.get("runtime") == "forward" else "last"),
            "inference.logits",
            ("last", "all"),
        ),
        factory=factory,
        make_batch=make_batch,
    )
