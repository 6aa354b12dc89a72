"""Every setting of a training step that the core supports, in groups. No Streamlit in here."""

from __future__ import annotations

from typing import Any

from memcalc.scenario import OPTIMIZER_OPTIONS
from memcalc.training.optimizers import IMPLEMENTATIONS
from memcalc.ui import options, parallel_settings
from memcalc.ui.form import Json, Setting, get, known_values

RANKS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
ACCUMULATION = (1, 2, 4, 8, 16, 32, 64, 128)
METHOD_LINES = {
    "full": "every weight is trained",
    "lora": "the weights are frozen, small adapters beside them learn",
    "qlora": "LoRA over frozen weights kept in 4 bits",
    "dora": "LoRA with a trained length for every row",
    "head": "only the output layer is trained",
}
RECOMPUTED = {"full": "whole blocks", "selective-attention": "attention only", "selective-ops": "cheap operations"}
ATTENTION_LINES = {
    "sdpa": "what torch picks itself",
    "flash": "never writes the table of scores",
    "efficient": "like flash, for more formats",
    "math": "writes the scores out: memory grows with the square of the length",
    "eager": "plain operations, everything written out",
}


def _optimizer(scenario: Json) -> str:
    return str(get(scenario, "training.optimizer") or "adamw")


def _adapters(scenario: Json) -> bool:
    return get(scenario, "training.method") in ("lora", "qlora", "dora")


def _knows(name: str) -> Any:
    return lambda scenario: name in OPTIMIZER_OPTIONS.get(_optimizer(scenario), ())


def _implementations(scenario: Json) -> bool:
    return len(IMPLEMENTATIONS.get(_optimizer(scenario), ())) > 1


def _sixteen_bits(scenario: Json) -> bool:
    return str(scenario.get("precision")).endswith("-master")


def _named(path: str, known: dict[str, str]) -> dict[str, str]:
    """Names for a field's values: those given, and the core's own for the rest."""
    return {value: known.get(value, value) for value in known_values(path)}


DATA = (
    Setting("batch", "Sequences at once (micro-batch)", "batch", "ladder", 1, options.HELP["batch"], options.BATCHES),
    Setting("seq", "Tokens per sequence", "seq_len", "ladder", 2048,
            "The length of each training sequence.", options.LENGTHS, carried=True),
    Setting("target", "Tokens the decoder writes", "target_len", "ladder", 128,
            "The length of what the model learns to write from each sequence that its encoder reads.", options.TARGETS),
    Setting("accumulate", "Micro-batches per step", "training.grad_accumulation", "ladder", 1,
            "Gradients of several micro-batches are added up before one step.", ACCUMULATION),
    Setting("mask", "Padding mask", "attention_mask", "switch", "none",
            "Sequences of unequal length are padded, and a mask says so; some kernels cannot take one.", wish="padded"),
)  # fmt: skip
TRAINED = (
    Setting("method", "What is trained", "training.method", "few", "full", options.HELP["method"],
            shown=options.METHODS, lines=METHOD_LINES),
    Setting("rank", "LoRA rank", "training.lora.r", "ladder", 16, "The width of the adapters.", RANKS, when=_adapters),
    Setting("targets", "Adapters on all linear layers", "training.lora.targets", "switch", None,
            "Otherwise PEFT's usual layers for the model (often only two of the attention's four).",
            wish="all-linear", when=_adapters),
    Setting("adapter", "Adapter format", "training.lora.dtype", "choice", "fp32", "PEFT makes adapters in fp32.",
            when=_adapters),
    Setting("base", "Frozen weights as", "training.base_weights", "choice", "nf4-dq",
            "How QLoRA keeps the frozen weights.", when=lambda s: get(s, "training.method") == "qlora"),
    Setting("precision", "Precision", "precision", "choice", "bf16", "The formats of weights, gradients and states.",
            lines=options.TRAINING_PRECISIONS),
    Setting("grads", "Gradients in fp32", "training.gradient_dtype", "switch", None,
            "Megatron's way: 16-bit gradients are added into 32-bit ones.", wish="fp32", when=_sixteen_bits),
    Setting("optimizer", "Optimizer", "training.optimizer", "choice", "adamw",
            "What the optimizer remembers about every trained weight.", lines=options.OPTIMIZERS),
    Setting("checkpointing", "Gradient checkpointing", "training.checkpointing", "switch", "none",
            options.HELP["checkpointing"], wish="full"),
    Setting("recompute", "What is computed again", "training.checkpointing", "choice", "full",
            "Less computed again takes less time and more memory.",
            shown=_named("training.checkpointing", RECOMPUTED),
            only=tuple(one for one in known_values("training.checkpointing") if one != "none"),
            when=lambda s: get(s, "training.checkpointing") not in (None, "none")),
)  # fmt: skip
SAVERS = (
    Setting("attention", "Attention kernel", "attention", "choice", "sdpa",
            "A wish: where it cannot run, the next one is taken, and said.", lines=ATTENTION_LINES),
    Setting("loss", "Fused loss", "training.loss", "switch", "standard",
            "Logits are never written out as a whole.", wish="fused"),
    Setting("liger", "Liger kernels", "training.liger", "switch", False,
            "Fused norms, rotations, activations and loss."),
    Setting("offload", "Activations in main memory", "training.activation_offload", "switch", False,
            "What is kept for the backward pass waits in the computer's own memory."),
)  # fmt: skip
STEP = (
    Setting("impl", "How it steps", "training.optimizer_impl", "choice", "foreach",
            "All weights at once (foreach), in one kernel (fused), or one after another (for-loop).",
            lines={"foreach": "fast, with temporaries as large as the weights", "fused": "one kernel, in place",
                   "for-loop": "one tensor at a time: slow and small"}, when=_implementations),
    Setting("amsgrad", "AMSGrad", "training.optimizer_options.amsgrad", "switch", None,
            "Also remembers the largest average so far.", when=_knows("amsgrad")),
    Setting("momentum", "Momentum 0.9", "training.optimizer_options.momentum", "switch", None,
            "One running average more for each trained weight.", wish=0.9,
            when=lambda scenario: _optimizer(scenario) in ("sgd", "rmsprop")),
    Setting("centered", "Centred", "training.optimizer_options.centered", "switch", None,
            "Also remembers the mean gradient.", when=_knows("centered")),
    Setting("decay", "Weight decay 0.01", "training.optimizer_options.weight_decay", "switch", None,
            "Pulls weights towards zero; some optimizers need a copy of the gradients for it.", wish=0.01,
            when=lambda scenario: _knows("weight_decay")(scenario) and _optimizer(scenario) != "adamw"),
    Setting("beta1", "First moment (beta1 0.9)", "training.optimizer_options.beta1", "switch", None,
            "Adafactor then also keeps a running average of every gradient.", wish=0.9, when=_knows("beta1")),
    Setting("projection", "Rank of the projection", "training.optimizer_options.rank", "ladder", 128,
            "The rank to which gradients are projected.", RANKS, when=_knows("rank")),
    Setting("zerograd", "Keep gradients between steps", "training.zero_grad", "switch", "set-to-none",
            "zero_grad(set_to_none=False): gradients are filled with zeros, not given back.", wish="keep"),
    Setting("clip", "Clip gradients", "training.clip_grad", "switch", False, "Limits the gradients' norm, in place."),
    Setting("ema", "Average of the weights (EMA)", "training.ema", "switch", False,
            "A moving average of all trained weights is kept beside them."),
)  # fmt: skip

GROUPS = {"Data": DATA, "What is trained, and how": TRAINED, "More memory savers": SAVERS,
          "Many GPUs": parallel_settings.MANY, "Details of the step": STEP}  # fmt: skip
"""What most trainings set comes first; the groups after it (``form.FOLDED``) are folded, named with what is set in
them."""
ALL = tuple(setting for group in GROUPS.values() for setting in group)
