"""Adafactor: row and column factors instead of a second moment [torch 2.13 torch/optim/_adafactor.py; transformers
5.23 optimization.py], and Adam-mini: one second moment a head or a row [adam_mini 1.1.1]. All traced."""

from __future__ import annotations

from math import prod

from memcalc.errors import ScenarioError
from memcalc.formats import Format
from memcalc.tensors.tape import Storage
from memcalc.training.optimizers.tapes import Slot, Step


def row_of(slot: Slot) -> tuple[int, ...]:
    """Shape of a matrix's row factor: its last dimension is 1."""
    return (*slot.shape[:-1], 1)


def column_of(slot: Slot) -> tuple[int, ...]:
    """Shape of a matrix's column factor: its last dimension but one is 1."""
    return (*slot.shape[:-2], 1, slot.shape[-1])


def adafactor(step: Step) -> None:
    """torch's: matrices keep a row and a column factor, vectors a variance. The variance estimate becomes the update:
    foreach one list of all matrices, then of all vectors; for-loop one tensor's and the last one's."""
    for slot in step.slots:
        if len(slot.shape) > 1:
            step.keep(slot, "row factor", row_of(slot))
            step.keep(slot, "column factor", column_of(slot))
        else:
            step.keep(slot, "variance")
    if step.impl == "for-loop":
        _adafactor_loop(step)
        return
    matrices = [slot for slot in step.slots if len(slot.shape) > 1]
    vectors = [slot for slot in step.slots if len(slot.shape) < 2]
    estimates: list[Storage] = []
    # Groups in the order of their first tensor; the last group's list is still bound while the next is made.
    for group in sorted((g for g in (matrices, vectors) if g), key=lambda g: step.slots.index(g[0])):
        if group is matrices:
            rows = [step.fresh(row_of(slot), slot.format, "row means") for slot in group]
            del rows
            columns = [step.fresh(column_of(slot), slot.format, "column means") for slot in group]
            del columns
        else:
            squares = [step.like(slot, "squared gradients") for slot in group]
            del squares
        estimates = [step.like(slot, "variance estimates") for slot in group]
        if group is matrices:
            means = [step.fresh((1,), slot.format, "mean of the row factor") for slot in group]
            del means
        norm = step.fresh((1,), Format.FP32, "norm of an update")
        del norm
    del estimates


def _adafactor_loop(step: Step) -> None:
    row = column = square = estimate = None
    for slot in step.slots:
        if len(slot.shape) > 1:
            row = step.fresh(row_of(slot), slot.format, "row mean")
            column = step.fresh(column_of(slot), slot.format, "column mean")
        else:
            square = step.like(slot, "squared gradient")
        estimate = step.like(slot, "variance estimate")
        number = step.fresh((1,), slot.format, "mean of the row factor, norm of the update")
        del number
    del row, column, square, estimate


def adafactor_hf(step: Step) -> None:
    """Hugging Face's, tensor by tensor in fp32: factors and an RMS in fp32, exp_avg too if beta1 is given. 16-bit
    gradients and weights are copied to fp32 first; the last tensor's update lives until it is rebound."""
    wide = Format.FP32
    grad = weight = update = None
    for slot in step.slots:
        grad = None  # grad = p.grad
        grad = step.like(slot, "fp32 copy of the gradient", wide) if slot.format.is_half else None
        matrix = len(slot.shape) > 1
        if step.options.get("beta1") is not None:
            step.keep(slot, "exp_avg", fmt=wide)
        if matrix:
            step.keep(slot, "row factor", slot.shape[:-1], wide)
            step.keep(slot, "column factor", (*slot.shape[:-2], slot.shape[-1]), wide)
        else:
            step.keep(slot, "variance", fmt=wide)
        weight = None  # p_data_fp32 = p
        weight = step.like(slot, "fp32 copy of the weight", wide) if slot.format.is_half else None
        step.renew(slot, "RMS", (1,), wide)
        square = step.like(slot, "squared gradient", wide)
        update = step.like(slot, "squared gradient plus epsilon", wide)
        del square
        if matrix:
            row = step.fresh(slot.shape[:-1], wide, "row factor")
            column = step.fresh(slot.shape[-1:], wide, "column factor")
            update = step.like(slot, "update", wide)
            del row, column
        else:
            root = step.like(slot, "rsqrt", wide)
            update = root
            del root
        if step.options.get("beta1") is not None:
            update = None  # update = exp_avg
        negative = step.like(slot, "negated update", wide)
        del negative
    del grad, weight, update


QUERIES_AND_KEYS = ("k_proj", "q_proj", "wq", "wk", "query", "key")
ROWS = (
    "embed", "embd", "wte", "lm_head", "output", "final_layer", "v_proj", "wv", "value", "o_proj", "wo", "attn.proj",
    "feed_forward", "linear", "mlp",
)  # fmt: skip
"""Parts of names by which Adam-mini knows queries and keys, and other matrices (``wqk_names`` and the lists beside)."""


def adam_mini(step: Step) -> None:
    """A full first moment; of second moments one a head of queries and keys, one a row of other matrices that it knows
    by their names, one a value of biases, one for all else (norms). Tensor by tensor: the squared gradient, then the
    update and its negative, beside what was last divided by. ``head_values``: values of one head's matrix, hidden² /
    heads."""
    mean = h = rate = update = counted = None
    for slot in step.slots:
        name, count = slot.parameter.name.lower(), prod(slot.shape)
        begins = "m" not in slot.state
        if name.endswith("bias"):
            step.keep(slot, "m")
            step.keep(slot, "v")
            root = step.like(slot, "square root of the second moment")
            h = step.like(slot, "denominator")
            del root
            continue
        small: tuple[int, ...] = (1,)
        if any(part in name for part in QUERIES_AND_KEYS):
            head = int(step.options.get("head_values", count))
            if count % head:
                raise ScenarioError(
                    f"Adam-mini's code fails for {slot.parameter.name}: its {count:,} values are no whole heads of "
                    f"{head:,}",
                    "training.optimizer",
                )
            small = (count // head, 1)
        elif any(part in name for part in ROWS):
            if len(slot.shape) < 2:
                raise ScenarioError(
                    f"Adam-mini's code fails for {slot.parameter.name}: by its name it takes it for a matrix",
                    "training.optimizer",
                )
            small = (slot.shape[0], 1, *slot.shape[2:])
        elif begins:
            counted = step.fresh((1,), Format.FP32, "values of the block")
        step.keep(slot, "m")
        if begins and small == (1,):
            square = step.like(slot, "squared weight")
            total = step.fresh((1,), slot.format, "sum")
            del square
            step.keep(slot, "vmean", small)
            del total
        step.keep(slot, "vmean", small)
        square = step.like(slot, "squared gradient")
        mean = step.fresh(small, slot.format, "mean of the squared gradient")
        del square
        if small == (1,):
            mean = step.fresh(small, slot.format, "mean of the squared gradient")
        root = step.fresh(small, slot.format, "square root of the second moment")
        h = step.fresh(small, slot.format, "denominator")
        del root
        inverse = step.fresh(small, slot.format, "reciprocal")
        rate = step.fresh(small, slot.format, "rate")
        del inverse
        update = step.like(slot, "update")
        negative = step.like(slot, "negated update")
        del negative
    del mean, h, rate, update, counted
