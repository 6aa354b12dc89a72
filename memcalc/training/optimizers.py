"""Optimizer states, and the temporaries of ``optimizer.step()``.

Sources: torch 2.13 torch/optim/{adam,sgd,adagrad,rmsprop,_adafactor}.py and transformers 5.23
optimization.py (Adafactor). ``foreach`` works on lists of all tensors at once, so an intermediate is as
large as all parameters; ``for-loop`` holds intermediates of one tensor, and the last one's until Python
rebinds the name; ``fused`` works in place.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from memcalc.formats import Format
from memcalc.tensors.tape import BLOCK, rounded
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
    """One kind of state: its name, its bytes for one tensor of each trained parameter, and how it is counted."""

    name: str
    formula: str
    sizes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class StepMemory:
    """What an optimizer holds and what its step needs for a moment; bytes.

    ``states``: (name, formula, bytes over all trained parameters). ``at_load``: they exist from construction
    on (Adagrad), not from the first step. ``first`` and ``later``: the most that the first and the later
    steps need above weights, gradients and all states. ``what`` says what that is.
    """

    states: tuple[tuple[str, str, int], ...]
    at_load: bool
    first: int
    later: int
    what: str

    @property
    def state_bytes(self) -> int:
        return sum(size for _, _, size in self.states)


def step_memory(
    optimizer: str, impl: str, trained: Sequence[Parameter], options: Mapping[str, Any], fmt: Format | None = None
) -> StepMemory:
    """The memory of ``optimizer`` over the ``trained`` parameters; ``fmt``: the format that it works in, if that is
    not the parameters' own (fp32 master copies)."""
    kinds = _states(optimizer, impl, trained, options, fmt)
    states = tuple(
        (kind.name, kind.formula, sum(size * one.repeat for size, one in zip(kind.sizes, trained, strict=True)))
        for kind in kinds
    )
    per_tensor = [sum(kind.sizes[i] for kind in kinds) for i in range(len(trained))]
    first, later, what = _temporaries(optimizer, impl, trained, per_tensor, options, fmt)
    return StepMemory(states, optimizer == "adagrad", first, later, what)


def _states(
    optimizer: str, impl: str, trained: Sequence[Parameter], options: Mapping[str, Any], fmt: Format | None
) -> tuple[StateTensor, ...]:
    def like(name: str) -> StateTensor:
        return StateTensor(name, "one value a trained parameter", tuple(one.bytes(fmt) for one in trained))

    def scalar(name: str, formula: str) -> StateTensor:
        return StateTensor(name, formula, (BLOCK,) * len(trained))

    if optimizer in ("adamw", "adam"):
        names = ["exp_avg", "exp_avg_sq"] + (["max_exp_avg_sq"] if options.get("amsgrad") else [])
        steps = (scalar("step", "one number a tensor, on the GPU when fused"),) if impl == "fused" else ()
        return tuple(like(one) for one in names) + steps
    if optimizer == "sgd-momentum" or (optimizer == "sgd" and options.get("momentum")):
        return (like("momentum_buffer"),)
    if optimizer == "adagrad":
        return (like("sum"),)
    if optimizer == "rmsprop":
        names = ["square_avg"]
        names += ["momentum_buffer"] if options.get("momentum") else []
        names += ["grad_avg"] if options.get("centered") else []
        return tuple(like(one) for one in names)
    if optimizer == "adafactor":
        return _factored(trained, fmt)
    if optimizer == "adafactor-hf":
        moment = (like_fp32("exp_avg", trained),) if options.get("beta1") is not None else ()
        return (*_factored(trained, Format.FP32), scalar("RMS", "one number a tensor"), *moment)
    return ()


def like_fp32(name: str, trained: Sequence[Parameter]) -> StateTensor:
    """A state of one fp32 value a parameter, whatever the parameter's format."""
    return StateTensor(name, "one fp32 value a trained parameter", tuple(one.bytes(Format.FP32) for one in trained))


def _factored(trained: Sequence[Parameter], fmt: Format | None) -> tuple[StateTensor, ...]:
    """Adafactor's second moment: a row and a column vector for a matrix, full size for a vector."""
    rows, columns, full = [], [], []
    for one in trained:
        row, column = factors(one, fmt or one.format)
        rows.append(row)
        columns.append(column)
        full.append(0 if len(one.shape) > 1 else one.bytes(fmt))
    return (
        StateTensor("row factor", "one value a row of each matrix", tuple(rows)),
        StateTensor("column factor", "one value a column of each matrix", tuple(columns)),
        StateTensor("variance", "one value a value of each vector", tuple(full)),
    )


def factors(one: Parameter, fmt: Format) -> tuple[int, int]:
    """Bytes of the row and the column factor of a matrix (0, 0 for a vector).

    >>> factors(Parameter("w", (1000, 10), Format.FP32), Format.FP32)   # 4000 B and 40 B, in blocks of 512
    (4096, 512)
    """
    if len(one.shape) < 2:
        return 0, 0
    return (
        rounded(one.count // one.shape[-1] * fmt.size),
        rounded(one.count // one.shape[-2] * fmt.size),
    )


def _temporaries(
    optimizer: str,
    impl: str,
    trained: Sequence[Parameter],
    per_tensor: Sequence[int],
    options: Mapping[str, Any],
    fmt: Format | None,
) -> tuple[int, int, str]:
    """(first step, later steps, what they are)."""
    sizes = [one.bytes(fmt) for one in trained]
    whole = sum(size * one.repeat for size, one in zip(sizes, trained, strict=True))
    decay = 1 if options.get("weight_decay") else 0
    if impl == "fused":
        return 0, 0, ""
    if optimizer == "adafactor-hf":
        return _adafactor_hf(trained, per_tensor, fmt)
    if impl == "foreach":
        copies, what = {
            "adamw": (1, "square roots of the second moments"),
            "adam": (1, "square roots of the second moments"),
            "sgd": (decay, "gradients plus weight decay"),
            "sgd-momentum": (decay, "gradients plus weight decay"),
            "adagrad": (2, "square roots and scaled gradients"),
            "rmsprop": (1 + decay, "square roots" + (" and gradients plus weight decay" if decay else "")),
            "adafactor": (1, "variance estimates"),
        }[optimizer]
        return copies * whole, copies * whole, f"{what}, for all parameters at once" if copies else ""
    # A denominator lives until the next tensor's; a decayed gradient is rebound first.
    kept = 0 if optimizer in ("sgd", "sgd-momentum") else 1
    during = kept + (1 if optimizer in ("adamw", "adam") else 0)
    during += decay if optimizer in ("adam", "sgd", "sgd-momentum", "adagrad", "rmsprop") else 0
    peak = _loop(sizes, lambda i: during * sizes[i], lambda i: kept * sizes[i])
    return peak, peak, "intermediates of one tensor and of the one before it" if peak else ""


def _loop(sizes: Sequence[int], during: Callable[[int], int], kept: Callable[[int], int]) -> int:
    """The largest sum of one tensor's temporaries and what the tensor before it still holds."""
    return max((during(i) + (kept(i - 1) if i else 0) for i in range(len(sizes))), default=0)


def _adafactor_hf(trained: Sequence[Parameter], per_tensor: Sequence[int], fmt: Format | None) -> tuple[int, int, str]:
    """Hugging Face's Adafactor, tensor by tensor, in fp32: the squared gradient and its sum with epsilon, while
    the last tensor's update is still held; then that sum, the new update and the two factors. 16-bit gradients
    and weights are copied to fp32 first. States appear as each tensor is reached, so the first step needs less."""
    wide = [one.bytes(Format.FP32) for one in trained]
    copies = [2 if (fmt or one.format).is_half else 0 for one in trained]
    first = later = states = 0
    total = sum(size * one.repeat for size, one in zip(per_tensor, trained, strict=True))
    for i, one in enumerate(trained):
        squares = (copies[i] + 2) * wide[i] + (wide[i - 1] if i else 0)
        update = (copies[i] + 2) * wide[i] + sum(factors(one, Format.FP32))
        need = max(squares, update)
        states += per_tensor[i] * one.repeat
        first, later = max(first, need + states), max(later, need)
    what = "a squared gradient and an update of one tensor in fp32"
    return max(first - total, 0), later, what + (", with fp32 copies of gradient and weight" if any(copies) else "")
