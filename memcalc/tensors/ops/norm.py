"""Fused normalisations: layer norm and softmax."""

from __future__ import annotations

from memcalc.formats import Format
from memcalc.tensors.autograd import Source, keep, keep_weights, operator
from memcalc.tensors.ops.elementwise import Grads, for_autocast, fresh
from memcalc.tensors.tensor import Parameter, Tensor


def layer_norm(x: Tensor, weight: Source | None, bias: Source | None) -> Tensor:
    """``F.layer_norm`` (fp32 under autocast): keeps its input and the fp32 mean and reciprocal deviation of
    each row. Backward makes the three gradients at once; the kernel's partial sums are not counted."""
    x = for_autocast(x, Format.FP32)
    tape, shape, fmt = x.tape, x.shape, x.format
    needs = [one for one in (x, weight, bias) if one is not None and one.needs_grad]
    shapes = [(one.shape, one.format) for one in needs]

    def backward(grad: Tensor) -> Grads:
        return [fresh(tape, s, f, "layer_norm (gradient)") for s, f in shapes]

    sources: list[Tensor | Parameter] = [one for one in (x, weight, bias) if one is not None]
    out = operator(tape, "layer_norm", sources, shape, fmt, backward, (x,))
    rows = (*shape[:-1], 1)
    statistics = (
        fresh(tape, rows, Format.FP32, "layer_norm mean"),
        fresh(tape, rows, Format.FP32, "layer_norm rstd"),
    )
    if out.node is not None:
        keep(tape, out.node, statistics)
        if tape.offload and tape.saving is None:
            keep_weights(tape, out.node, [one for one in (weight, bias) if isinstance(one, Parameter)])
    return out


def softmax(x: Tensor, fmt: Format | None = None, op: str = "softmax") -> Tensor:
    """``F.softmax(x, -1, dtype=fmt)``: keeps its result. bf16 to fp32 goes through an fp32 copy of x; fp16 to
    fp32 is one kernel on CUDA [aten/src/ATen/native/SoftMax.cpp, half_to_float]."""
    tape, shape = x.tape, x.shape
    wanted = fmt or (Format.FP32 if tape.autocast else x.format)
    if x.format is not wanted and not (x.format is Format.FP16 and wanted is Format.FP32):
        from memcalc.tensors.ops.elementwise import to

        x = to(x, wanted)
    x_fmt = x.format

    def backward(grad: Tensor) -> Grads:
        return [fresh(tape, shape, x_fmt, "softmax (gradient)")]

    return operator(tape, op, (x,), shape, wanted, backward, keeps_output=True)
