"""DoRA: LoRA whose rows have a trained length, as PEFT computes it [peft 0.21 tuners/lora/dora.py, variants.py].

The length of every row of ``W + s·B·A`` is taken anew in each forward pass: ``B·A`` is multiplied out by sending an
identity matrix through the adapter, the base weight is copied to the adapter's format, and so on; all of it lives until
the layer's result is there. With dropout the base product is made again from the copied weight, which autograd keeps.
"""

from __future__ import annotations

from memcalc.formats import Format
from memcalc.tensors import ops
from memcalc.tensors.autograd import operator, result
from memcalc.tensors.ops.elementwise import Grads, fresh
from memcalc.tensors.ops.matmul import cast_weight
from memcalc.tensors.ops.quantised import QuantisedParameter, dequantised
from memcalc.tensors.tape import Tape
from memcalc.tensors.tensor import Parameter, Shape, Tensor


def dora_sum(
    x: Tensor,
    base: Tensor,
    weight: Parameter,
    bias: Parameter | None,
    down: Parameter,
    up: Parameter,
    magnitude: Parameter,
    dropout: float,
) -> Tensor:
    """``base`` (the base layer's result of x) plus DoRA's part: ``(m/‖W+sBA‖ - 1)·base + m/‖W+sBA‖·s·BAx``. ``x`` is
    in the adapter's format already; ``magnitude`` m has one value an output."""
    if dropout:
        x = ops.dropout(x, dropout)
    return ops.add(base, _difference(x, None if dropout else base, weight, bias, down, up, magnitude))


def _difference(
    x: Tensor,
    base: Tensor | None,
    weight: Parameter,
    bias: Parameter | None,
    down: Parameter,
    up: Parameter,
    magnitude: Parameter,
) -> Tensor:
    tape = x.tape
    outputs = magnitude.shape[0]
    product, *graph = _adapter_product(x, down, up)
    whole = _whole(x, weight)
    scaled = fresh(tape, (outputs, down.shape[1]), x.format, "scaled adapter product")
    adapted = fresh(tape, (outputs, down.shape[1]), x.format, "adapted weight")
    if whole is None and weight.transposed and tape.saving is None and not tape.offload:
        adapted.storage.record.component = "activations"  # the weight turned round trains: see _product
    del scaled
    norms = ops.to(fresh(tape, (outputs,), Format.FP32 if tape.autocast else x.format, "row norms"), x.format)
    del adapted
    lengths = ops.mul(norms, magnitude).view(1, outputs)
    adapter = ops.linear(ops.linear(x, down), up)
    if base is None:
        base = _product(x, weight, whole, outputs)
    elif bias is not None:
        base = ops.add(base, bias)
    rescaled = ops.mul(base, ops.add_scalar(lengths))
    out = ops.add(rescaled, ops.scale(ops.mul(adapter, lengths)))
    del product, graph, whole, norms
    return out


def _adapter_product(x: Tensor, down: Parameter, up: Parameter) -> list[Tensor]:
    """``B(A(I)).T`` in x's format, and what its graph keeps: nothing flows back through it, but it lives as long."""
    tape = x.tape
    rank, inputs = down.shape
    compute = tape.autocast.format if tape.autocast else down.format
    identity = fresh(tape, (inputs, inputs), down.format, "identity matrix")
    # A checkpointed block drops what it would keep; offloading takes it away.
    dropped = tape.offload or (tape.saving is not None and not tape.saving.replays)
    graph = [ops.to(identity, compute)]
    cast = cast_weight(identity, down, compute)
    inner = _mm(tape, (inputs, rank), compute)
    del cast
    if dropped:
        graph.clear()
    else:
        graph.append(inner)
    cast = cast_weight(identity, up, compute)
    product = _mm(tape, (inputs, up.shape[0]), compute)
    if isinstance(cast, Tensor) and not dropped:
        graph.append(cast)
    del identity, inner, cast
    if tape.saving is None:
        for one in graph:
            one.storage.record.component = "activations"
    return [ops.to(product, x.format), *graph]


def _mm(tape: Tape, shape: Shape, fmt: Format) -> Tensor:
    return Tensor(result(tape, shape, fmt, "mm"), shape, fmt)


def _whole(x: Tensor, weight: Parameter) -> Tensor | None:
    """The base weight in x's format: a copy, unless it is in that format already (None)."""
    if isinstance(weight, QuantisedParameter):
        return ops.to(dequantised(x.tape, weight), x.format)
    if weight.format is x.format:
        return None
    return fresh(x.tape, weight.shape, x.format, "to (base weight)")


def _product(x: Tensor, weight: Parameter, whole: Tensor | None, outputs: int) -> Tensor:
    """``F.linear(x, W)`` with the copied weight, which is kept for x's gradient.

    PEFT turns a Conv1D's weight round and wraps it as a parameter anew, which trains by default [utils/other.py,
    transpose]: the product keeps x, autocast caches its copy, and backward makes a gradient that only the graph holds.
    """
    tape = x.tape
    if whole is None and weight.transposed:
        return ops.linear(
            x, Parameter(f"{weight.name} (turned)", (outputs, weight.shape[0]), weight.format, stray=True)
        )
    compute = tape.autocast.format if tape.autocast else x.format
    x = ops.to(x, compute)
    if whole is None and weight.format is not compute:
        whole = fresh(tape, weight.shape, compute, "to (base weight)")
    elif whole is not None:
        whole = ops.to(whole, compute)
    shape = x.shape

    def backward(grad: Tensor) -> Grads:
        found = fresh(tape, shape, compute, "mm (input gradient)")
        found.is_view = True
        return [found]

    kept = [] if whole is None else [whole]
    return operator(
        tape, "mm", (x,), (*shape[:-1], outputs), compute, backward, kept, weights=[weight] if whole is None else []
    )
