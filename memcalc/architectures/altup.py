"""AltUp: several copies of the hidden states, of which one goes through a layer; the others are predicted, and
corrected by what came out [Baykal et al. 2023; transformers 5.23 models/gemma3n/modeling_gemma3n.py, its AltUp]."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from memcalc.architectures.gpt_oss import clamp
from memcalc.architectures.layers import Linear, Maker, Norm
from memcalc.formats import Format
from memcalc.tensors import ops
from memcalc.tensors.autograd import operator
from memcalc.tensors.ops.elementwise import Grads, fresh
from memcalc.tensors.ops.matmul import linear
from memcalc.tensors.ops.routing import added_in_place
from memcalc.tensors.ops.stacked import added_to_view, picked, repeated_first
from memcalc.tensors.tensor import Parameter, Tensor

MakeNorm = Callable[..., Norm]


@dataclass(frozen=True, slots=True)
class AltUp:
    """A layer's coefficients for ``copies`` hidden states."""

    copies: int
    scale: Parameter
    correction: Linear
    prediction: Linear
    router: Linear
    norm: Norm

    @classmethod
    def make(cls, maker: Maker, path: str, hidden: int, copies: int, make_norm: MakeNorm, repeat: int) -> AltUp:
        """With its parameters, in the order of named_parameters()."""
        scale = maker.parameter(f"{path}.correct_output_scale", hidden, repeat=repeat)
        correction = maker.linear(path, "correction_coefs", copies, copies, False, repeat)
        prediction = maker.linear(path, "prediction_coefs", copies, copies**2, False, repeat)
        router = maker.linear(path, "modality_router", hidden, copies, False, repeat)
        return cls(
            copies, scale, correction, prediction, router, make_norm(f"{path}.router_norm", hidden, repeat=repeat)
        )

    def modalities(self, x: Tensor) -> Tensor:
        """(batch, length, copies) from x (batch, length, h)."""
        inputs = ops.scale(self.norm(x))
        routed = self.router(inputs)
        return ops.to(ops.tanh(ops.to(routed, Format.FP32)), x.format)

    def predict(self, hidden: Tensor) -> Tensor:
        """What the copies (n, batch, length, h) would become, each a sum of all and itself. The product lies copy by
        copy in its last dimension, so that it is copied."""
        n, batch, length, h = hidden.shape
        modalities = self.modalities(picked(hidden, hidden.shape[1:]))
        coefficients = self.prediction(modalities).view(batch * length, n, n)
        product = ops.batched_product(hidden.view(batch * length, h, n), coefficients, (batch * length, h, n)).view(
            n, batch, length, h
        )
        product = added_to_view(product, hidden, hidden.shape)
        out = ops.to(ops.contiguous(product, True), hidden.format)
        del coefficients, modalities
        return out

    def correct(self, predictions: Tensor, activated: Tensor, clipped: bool) -> Tensor:
        """Predictions (n, batch, length, h) plus the active one's error (activated, less its prediction), weighed for
        each copy. ``clipped``: the coefficients' weight is clamped first."""
        shape = activated.shape
        modalities = self.modalities(activated)
        innovation = ops.sub(activated, picked(predictions, shape))
        innovation = repeated_first(innovation, self.copies)
        weighed = self._clipped(modalities) if clipped else self.correction(modalities)
        weighed = ops.add_scalar(weighed)
        corrected = ops.mul(innovation, weighed.view(self.copies, *shape[:-1], 1))
        corrected = added_in_place(corrected, predictions)
        return ops.to(corrected, activated.format)

    def _clipped(self, x: Tensor) -> Tensor:
        """The product with the clamped weight (a new tensor, which autocast casts without remembering it)."""
        return linear(x, _clamped(x, self.correction.weight))


def rescaled(x: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """``x * target / sqrt(max(mean(x²), ε))``, and what it was divided by."""
    size = ops.mean_last(ops.power(x))
    size = ops.sqrt(clamp(size, 1))
    return ops.div(ops.mul(x, target), size), size


def _clamped(x: Tensor, weight: Parameter) -> Tensor:
    """``weight.clamp(low, high)``, a tensor of the graph on x's tape."""
    tape, shape, fmt = x.tape, weight.shape, weight.format

    def backward(grad: Tensor) -> Grads:
        zero = fresh(tape, (1,), fmt, "scalar_tensor")
        flags = [fresh(tape, shape, Format.BOOL, "compare") for _ in range(2)]
        out = fresh(tape, shape, fmt, "where (gradient)")
        del zero, flags
        return [out]

    return operator(tape, "clamp", (weight,), shape, fmt, backward, weights=(weight,))
