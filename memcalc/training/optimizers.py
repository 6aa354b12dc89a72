"""Optimizer states, and the temporaries of ``optimizer.step()``.

Sources: torch 2.13 torch/optim/{adam,sgd,adagrad,rmsprop,_adafactor}.py and transformers 5.23
optimization.py (Adafactor). ``foreach`` works on lists of all tensors at once, so an intermediate is as
large as all parameters; ``for-loop`` holds intermediates of one tensor, and the last one's until it is
replaced; ``fused`` works in place.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from memcalc.formats import Format
from memcalc.tensors.tape import rounded
from memcalc.tensors.tensor import Parameter

IMPLEMENTATIONS: dict[str, tuple[str, ...]] = {
    "adamw": ("foreach", "fused", "for-loop"),
    "adam": ("foreach", "fused", "for-loop"),
    "sgd": ("foreach", "fused", "for-loop"),
    "sgd-momentum": ("foreach", "fused", "for-loop"),
    "adagrad": ("foreach", "for-loop"),
    "rmsprop": ("foreach", "for-loop"),
    "adafactor": ("foreach", "for-loop"),
    "adafactor-hf": ("for-loop",),
}
"""The optimizers and the ways in which each can run on a GPU (torch's fused Adagrad runs on the CPU only)."""


@dataclass(frozen=True, slots=True)
class StateTensor:
    """One kind of state: its name, bytes over all trained parameters, and how it is counted."""

    name: str
    bytes: int
    formula: str


@dataclass(frozen=True, slots=True)
class StepMemory:
    """What an optimizer holds and what its step needs for a moment; bytes.

    ``at_load``: the states exist from construction on (Adagrad), not from the first step.
    ``first`` and ``later``: the largest temporaries above weights, gradients and all states.
    """

    states: tuple[StateTensor, ...]
    at_load: bool
    first: int
    later: int
    what: str

    @property
    def state_bytes(self) -> int:
        return sum(one.bytes for one in self.states)


def step_memory(
    optimizer: str, impl: str, trained: Sequence[Parameter], options: Mapping[str, Any], master: bool
) -> StepMemory:
    """The memory of ``optimizer`` over the ``trained`` parameters.

    ``master``: the optimizer works on fp32 master copies (states and temporaries are fp32; the 16-bit
    gradients are cast to fp32 first).
    """
    fmt = Format.FP32 if master else None
    sized = [(one, one.bytes(fmt), one.repeat) for one in trained]
    states = _states(optimizer, impl, trained, options, fmt)
    whole = sum(size * n for _, size, n in sized)
    first, later, what = _temporaries(optimizer, impl, sized, whole, options)
    if master:
        first, later = first + whole, later + whole
        what = f"fp32 copies of the gradients; {what}" if what else "fp32 copies of the gradients"
    return StepMemory(states, optimizer == "adagrad", first, later, what)


def _states(
    optimizer: str, impl: str, trained: Sequence[Parameter], options: Mapping[str, Any], fmt: Format | None
) -> tuple[StateTensor, ...]:
    def like(name: str) -> StateTensor:
        total = sum(one.bytes(fmt) * one.repeat for one in trained)
        return StateTensor(name, total, "one value a trained parameter")

    tensors = sum(one.repeat for one in trained)
    steps = StateTensor("step", 512 * tensors, "one fp32 number a tensor, on the GPU when fused")
    if optimizer in ("adamw", "adam"):
        names = ["exp_avg", "exp_avg_sq"] + (["max_exp_avg_sq"] if options.get("amsgrad") else [])
        return tuple(like(one) for one in names) + ((steps,) if impl == "fused" else ())
    if optimizer == "sgd-momentum" or (optimizer == "sgd" and options.get("momentum")):
        return (like("momentum_buffer"),)
    if optimizer == "adagrad":
        return (like("sum"),)
    if optimizer == "rmsprop":
        names = ["square_avg"]
        names += ["momentum_buffer"] if options.get("momentum") else []
        names += ["grad_avg"] if options.get("centered") else []
        return tuple(like(one) for one in names)
    if optimizer in ("adafactor", "adafactor-hf"):
        wide = Format.FP32 if optimizer == "adafactor-hf" else fmt
        found = _factored(trained, wide)
        if optimizer == "adafactor-hf":
            # The root mean square of each tensor is kept as a number on the GPU.
            found += (StateTensor("RMS", 512 * tensors, "one number a tensor"),)
            if options.get("beta1") is not None:
                total = sum(one.bytes(Format.FP32) * one.repeat for one in trained)
                found += (StateTensor("exp_avg", total, "one fp32 value a trained parameter"),)
        return found
    return ()


def _factored(trained: Sequence[Parameter], fmt: Format | None) -> tuple[StateTensor, ...]:
    """Adafactor's second moment: a row and a column vector for a matrix, full size for a vector."""
    rows = columns = full = 0
    for one in trained:
        size = (fmt or one.format).size
        if len(one.shape) > 1:
            rows += rounded(one.count // one.shape[-1] * size) * one.repeat
            columns += rounded(one.count // one.shape[-2] * size) * one.repeat
        else:
            full += rounded(one.count * size) * one.repeat
    return (
        StateTensor("row factor", rows, "one value a row of each matrix"),
        StateTensor("column factor", columns, "one value a column of each matrix"),
        StateTensor("variance", full, "one value a value of each vector"),
    )


Sized = tuple[Parameter, int, int]


def _temporaries(
    optimizer: str, impl: str, sized: Sequence[Sized], whole: int, options: Mapping[str, Any]
) -> tuple[int, int, str]:
    """(first step, later steps, what they are)."""
    decay = bool(options.get("weight_decay"))
    if impl == "fused":
        return 0, 0, ""
    if optimizer in ("adamw", "adam"):
        if impl == "foreach":
            return whole, whole, "square roots of the second moments, for all parameters at once"
        extra = 1 if decay and optimizer == "adam" else 0
        peak = _loop(sized, lambda size: (2 + extra) * size, lambda size: (1 + extra) * size)
        return peak, peak, "square root and denominator of one tensor"
    if optimizer in ("sgd", "sgd-momentum"):
        if not decay:
            return 0, 0, ""
        if impl == "foreach":
            return whole, whole, "gradients plus weight decay, for all parameters at once"
        peak = _loop(sized, lambda size: size, lambda size: size)
        return peak, peak, "gradient plus weight decay of one tensor"
    if optimizer == "adagrad":
        if impl == "foreach":
            return 2 * whole, 2 * whole, "square roots and scaled gradients, for all parameters at once"
        extra = 1 if decay else 0
        peak = _loop(sized, lambda size: (1 + extra) * size, lambda size: (1 + extra) * size)
        return peak, peak, "square root of one tensor"
    if optimizer == "rmsprop":
        extra = 1 if decay else 0
        if impl == "foreach":
            return (1 + extra) * whole, (1 + extra) * whole, "square roots, for all parameters at once"
        peak = _loop(sized, lambda size: (1 + extra) * size, lambda size: (1 + extra) * size)
        return peak, peak, "square root of one tensor"
    if optimizer == "adafactor":
        if impl == "foreach":  # the matrices' are still held while the vectors' are made
            return whole, whole, "variance estimates of all tensors"
        peak = _loop(sized, lambda size: size, lambda size: size)
        return peak, peak, "variance estimate of one tensor"
    # Hugging Face's Adafactor: a squared gradient and its sum; in 16 bits also fp32 copies of gradient and weight.
    wide = [(one, one.bytes(Format.FP32), n) for one, _, n in sized]
    copies = 4 if sized and sized[0][0].format.is_half else 2
    peak = _loop(wide, lambda size: copies * size, lambda size: size)
    return peak, peak, f"{copies} fp32 tensors of the size of one parameter tensor"


def _loop(sized: Sequence[Sized], during: Callable[[int], int], kept: Callable[[int], int]) -> int:
    """The largest sum of one tensor's temporaries and what the tensor before it still holds."""
    best = before = 0
    for _, size, repeat in sized:
        best = max(best, before + during(size))
        before = kept(size)
        if repeat > 1:  # the order among repeated blocks is that of one block
            continue
    return best
