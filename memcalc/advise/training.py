"""The changes that a training scenario offers. What the core does not understand is not among them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from memcalc.advise import costs
from memcalc.advise.changes import Change, Now, set_to, smaller
from memcalc.scenario.choices import accepted, known_values
from memcalc.training.optimizers import IMPLEMENTATIONS
from memcalc.training.precision import TRAINING

Maker = Callable[[Now], Iterator[Change]]


def _free(now: Now) -> Iterator[Change]:
    """What costs nothing, or a package."""
    possible = IMPLEMENTATIONS[now.get("training.optimizer")]
    if now.get("training.optimizer_impl") != "fused" and "fused" in possible:
        yield set_to("fused", "impl", "Fused optimizer step", costs.FUSED, training__optimizer_impl="fused")
    if now.get("training.zero_grad") == "keep":
        yield set_to("zero-grad", "zero-grad", "Gradients given back after each step", costs.SET_TO_NONE,
                     training__zero_grad="set-to-none")  # fmt: skip
    if not now.get("expandable_segments") and accepted("expandable_segments", True):
        yield set_to("expandable", "allocator", "Expandable segments", costs.EXPANDABLE, expandable_segments=True)
    if now.get("training.loss") != "fused" and accepted("training.loss", "fused"):
        yield set_to("fused-loss", "loss", "Fused loss", costs.FUSED_LOSS, training__loss="fused")
    if not now.get("training.liger") and accepted("training.liger", True):
        yield set_to("liger", "liger", "Liger kernels", costs.LIGER, training__liger=True)
    if now.get("attention") in ("eager", "math"):
        yield set_to("sdpa", "attention", "Flash attention (sdpa)", costs.FLASH, attention="sdpa")
    if now.get("attention_mask") == "padded":
        yield set_to("no-padding", "mask", "No padding", costs.NO_PADDING, attention_mask="none")
    if now.get("training.ema"):
        yield set_to("no-ema", "ema", "No average of the weights", costs.NO_EMA, training__ema=False)
    if now.get("training.gradient_dtype") == "fp32":
        yield set_to("grads-16", "grads", "16-bit gradients", costs.GRADS_16, training__gradient_dtype=None)


_RECOMPUTED = {
    "full": ("Gradient checkpointing", costs.CHECKPOINTING),
    "selective-ops": ("Checkpointing of cheap operations", costs.SELECTIVE_OPS),
    "selective-attention": ("Checkpointing of attention", costs.SELECTIVE_ATTENTION),
}


def _activations(now: Now) -> Iterator[Change]:
    """What makes the activations smaller."""
    current = now.get("training.checkpointing")
    known = known_values("training.checkpointing")
    quadratic = now.get("attention") in ("eager", "math")
    for value, (title, cost) in _RECOMPUTED.items():
        if value == "selective-attention" and not quadratic:
            continue  # flash attention keeps nothing of the scores anyway
        if value in known and current != value and (current == "none" or value == "full"):
            yield set_to(f"checkpointing-{value}", "checkpointing", title, cost, training__checkpointing=value)
    batch, steps = now.get("batch"), now.get("training.grad_accumulation")
    sizes = {1} if batch <= FEW else {smaller(batch), 1}
    for size in sorted(sizes, reverse=True) if batch > 1 else ():
        total = steps * batch // size
        yield set_to(f"batch-{size}", "batch", f"Micro-batch of {size}, {total} a step", costs.SMALLER_BATCH,
                     batch=size, training__grad_accumulation=total)  # fmt: skip
    if not now.get("training.activation_offload") and accepted("training.activation_offload", True):
        yield set_to("offload-activations", "checkpointing", "Activations in main memory", costs.OFFLOAD_ACTIVATIONS,
                     training__activation_offload=True)  # fmt: skip
    length = now.get("seq_len")
    if length and length >= 256:
        yield set_to("shorter", "length", f"Sequences of {length // 2:,} tokens", costs.SHORTER, seq_len=length // 2)


def _numbers(now: Now) -> Iterator[Change]:
    """Formats and optimizers. A change of optimizer keeps no option of the old one. Beside adapters it is not worth a
    word: their states are small. The rarer optimizers are on the page Training and in the sweeps."""
    current, precision = now.get("training.optimizer"), now.get("precision")
    adapters = now.get("training.method") in ("lora", "qlora", "dora")
    for name, cost in costs.OPTIMIZERS.items():
        if name in IMPLEMENTATIONS and name != current and not adapters:
            yield set_to(f"optimizer-{name}", "impl", f"Optimizer {name}", cost, training__optimizer=name,
                         training__optimizer_impl="fused" if "fused" in IMPLEMENTATIONS[name] else None,
                         training__optimizer_options=None)  # fmt: skip
    for name, cost in costs.PRECISIONS.items():
        if name in TRAINING and name != precision and _smaller_numbers(name, precision):
            yield set_to(f"precision-{name}", "precision", f"Precision {name}", cost, precision=name,
                         training__gradient_dtype=None)  # fmt: skip


def _smaller_numbers(name: str, than: str) -> bool:
    """Whether precision ``name`` is a step down from ``than``: fp32, then mixed, master copies, 16 bits alone."""
    order = ("fp32", "mixed", "master", "16")
    half = than.split("-")[0]
    if half in ("bf16", "fp16") and name.split("-")[0] != half:
        return False

    def rank(one: str) -> int:
        return order.index(one if one == "fp32" else one.split("-")[1] if "-" in one else "16")

    return rank(name) > rank(than)


def _adapters(now: Now) -> Iterator[Change]:
    """What is trained at all."""
    method = now.get("training.method")
    known = known_values("training.method")
    if method == "full":
        for name, cost in costs.METHODS.items():
            if name in known:
                title = {"lora": "LoRA", "qlora": "QLoRA", "head": "Train the head only"}[name]
                yield set_to(f"method-{name}", "method", title, cost, **_with_method(name, now.get("precision")))
        return
    if method in ("lora", "dora") and "qlora" in known:
        yield set_to("method-qlora", "method", "QLoRA", costs.QLORA_FROM_LORA,
                     **_with_method("qlora", now.get("precision")))  # fmt: skip
    if method in ("lora", "qlora", "dora"):
        rank = now.get("training.lora.r")
        if rank >= WIDE:
            yield set_to("rank", "rank", f"LoRA rank {rank // 2}", costs.SMALLER_RANK, training__lora__r=rank // 2)
        if now.get("training.lora.targets") == "all-linear":
            yield set_to("targets", "targets", "Adapters on the usual layers only", costs.FEWER_TARGETS,
                         training__lora__targets=None)  # fmt: skip
        if now.get("training.lora.dtype") == "fp32":
            yield set_to(
                "adapters-bf16", "adapters", "Adapters in bf16", costs.ADAPTERS_16, training__lora__dtype="bf16"
            )


def _with_method(name: str, precision: str) -> dict[str, str]:
    """The fields that a method sets: QLoRA is run under autocast, else its fp32 norms make everything fp32."""
    half = precision.split("-")[0]
    if name != "qlora" or half not in ("bf16", "fp16"):
        return {"training__method": name}
    return {"training__method": name, "precision": f"{half}-mixed"}


FEW = 4
"""Sequences: a micro-batch of so many goes to one at once, a larger one may be halved as well."""
WIDE = 64
"""A LoRA rank from which on half of it is worth an estimate."""
_SHARED = (("fsdp2", 8), ("zero2", 8), ("zero3", 8))
"""Ways to share a run that stand for the others; ``memcalc.solve.replicas`` finds the fewest cards."""


def _spread(now: Now) -> Iterator[Change]:
    """Over more cards, or into the computer's memory, as far as the core knows how."""
    cards = int(now.get("parallel.data") or 1)
    strategies = known_values("parallel.strategy")
    # ZeRO-2 leaves frozen weights whole, and stage 3 is FSDP's way of sharing
    covered = {"zero2"} if now.get("training.method") in ("lora", "qlora", "dora") else set()
    covered |= {"zero3"} if "fsdp2" in strategies else set()
    for name, times in _SHARED if accepted("parallel.data", 2) else ():
        if name in strategies and name not in covered:
            yield set_to(f"{name}-{times * cards}", "parallel", f"{times * cards} cards, {name}", costs.SHARDING[name],
                         parallel__data=times * cards, parallel__strategy=name)  # fmt: skip
    for name, cost in costs.OFFLOADS.items():
        if now.get("parallel.offload") in (None, "none") and name in known_values("parallel.offload"):
            yield set_to(f"offload-{name}", "offload-states", f"Offload {name}", cost, parallel__offload=name)


MAKERS: tuple[Maker, ...] = (_free, _activations, _numbers, _adapters, _spread)
