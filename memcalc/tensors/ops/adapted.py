"""LoRA on a parameter that is no linear layer's: the experts of a block in one tensor, a router's matrix.

PEFT computes the adapted parameter anew in every forward pass and lets the module see it in the parameter's place
[peft 0.21 tuners/lora/layer.py, ParamWrapper]; where it registers that, torch computes it once more as a check, and
drops it [torch 2.13 nn/utils/parametrize.py, ParametrizationList].
"""

from __future__ import annotations

from memcalc.formats import Format
from memcalc.tensors.autograd import Backward, graph_node, operator, result
from memcalc.tensors.ops.elementwise import Grads, add, fresh, scale, to
from memcalc.tensors.tape import Tape
from memcalc.tensors.tensor import Parameter, Shape, Tensor


def factor(tape: Tape, matrix: Parameter, fmt: Format, turned: bool) -> Tensor:
    """An adapter's matrix, looked at as one factor for each expert, in ``fmt``. ``turned``: the experts come last in
    memory, so that the gradient is copied into that order."""
    shape, own = matrix.shape, matrix.format

    def backward(grad: Tensor) -> Grads:
        return [fresh(tape, shape, own, "clone (gradient)") if turned else grad]

    return to(_look(tape, matrix, backward), fmt)


def folded(weight: Parameter, left: Tensor, right: Tensor) -> Tensor:
    """``torch.baddbmm(weight, left, right, alpha=scaling)``: a tensor of the weight's whole size. Keeps both factors;
    each gradient is a product, then scaled."""
    tape, fmt = left.tape, weight.format
    shapes = (left.shape, right.shape)

    def backward(grad: Tensor) -> Grads:
        grads: Grads = []
        for shape in shapes:
            product = fresh(tape, shape, fmt, "bmm (gradient)")
            grads.append(fresh(tape, shape, fmt, "mul (gradient)"))
            del product
        return grads

    return operator(tape, "baddbmm", (left, right), weight.shape, fmt, backward, (left, right))


def checked(weight: Parameter, tape: Tape, op: str) -> None:
    """The adapted weight as it is computed for a check."""
    made = result(tape, weight.shape, weight.format, op)
    del made


def delta(tape: Tape, down: Parameter, up: Parameter, shape: Shape, fmt: Format) -> Tensor:
    """``(up @ down * scaling).to(fmt)``, both matrices trained."""
    compute = tape.autocast.format if tape.autocast else down.format
    shapes = (down.shape, up.shape)

    def backward(grad: Tensor) -> Grads:
        return [fresh(tape, one, compute, "mm (gradient)") for one in shapes]

    made = operator(tape, "mm", (down, up), shape, compute, backward)
    return to(scale(made), fmt)


def summed(weight: Parameter, change: Tensor) -> Tensor:
    """``weight + change``, the weight frozen."""
    return add(change, weight)


def _look(tape: Tape, matrix: Parameter, backward: Backward) -> Tensor:
    node = graph_node(tape, (matrix,), backward)
    return Tensor(tape.storage((0,), matrix.format, "view"), matrix.shape, matrix.format, node, 0, True)
