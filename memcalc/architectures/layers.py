"""Layers that hold parameters: linear (with LoRA), norms, embeddings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from memcalc.architectures.dora import dora_sum
from memcalc.formats import Format
from memcalc.quantisation.modules import kept_layers
from memcalc.quantisation.published import Published
from memcalc.quantisation.scheme import Piece, Scheme
from memcalc.tensors import ops
from memcalc.tensors.ops.quantised import QuantisedParameter
from memcalc.tensors.tensor import Parameter, Tensor

Norm = Callable[[Tensor], Tensor]
"""A norm with its parameters: hidden states in, hidden states of the same shape out."""

LinearShape = tuple[str, int, int, bool]
"""A linear layer's name, inputs, outputs, and whether it has a bias."""


@dataclass(frozen=True, slots=True)
class Lora:
    """Low-rank adapters as PEFT attaches them: rank, which linear layers, their format, dropout on their input;
    ``magnitudes``: each row's length is trained too (DoRA); ``moved``: names of layers that are experts' or a router's
    in version 4, and in version 5 no linear layer's, not even where there still is one of that name."""

    rank: int
    targets: tuple[str, ...] | None
    format: Format
    dropout: float
    magnitudes: bool = False
    moved: tuple[str, ...] = ()

    def covers(self, name: str) -> bool:
        """Whether the linear layer called ``name`` ("q_proj") gets an adapter (targets None: all linear ones)."""
        return self.wants(name) and name not in self.moved

    def wants(self, name: str) -> bool:
        """Whether ``name`` is among the targets."""
        return self.targets is None or name in self.targets


@dataclass(frozen=True, slots=True)
class Base:
    """Quantised linear layers: the format that they compute in, and how they are stored. ``upcast``: what is not
    quantised is in fp32, as PEFT's prepare_model_for_kbit_training makes it. ``experts``: whether experts are quantised
    as well; where they lie in one tensor with three dimensions, not every library can. ``linears``: whether anything
    but the experts is. ``published``: the checkpoint that is stored so, which says itself what it leaves as it is."""

    compute: Format
    scheme: Scheme
    upcast: bool = False
    experts: bool = True
    linears: bool = True
    published: Published | None = None


@dataclass(slots=True)
class Maker:
    """Makes the parameters of a model in its format, counting what it makes. ``head_only``: how the names of those
    begin that are trained, if not all (or the adapters) are. ``layers``: those that a name's first part stands for."""

    format: Format
    lora: Lora | None = None
    base: Base | None = None
    head_only: tuple[str, ...] | None = None
    parameters: list[Parameter] = field(default_factory=list)
    layers: Mapping[str, range] = field(default_factory=dict)

    def parameter(self, name: str, *shape: int, repeat: int = 1) -> Parameter:
        """A parameter of the model that no format quantises."""
        trainable = self.lora is None if self.head_only is None else name.startswith(self.head_only)
        fmt = Format.FP32 if self.base is not None and self.base.upcast else self.format
        one = Parameter(name, shape, fmt, repeat, trainable)
        self.parameters.append(one)
        return one

    def weight(self, name: str, shape: tuple[int, int], repeat: int = 1, transposed: bool = False) -> Parameter:
        """The matrix of a linear layer, quantised if the model is."""
        if self.base is None or not self.base.linears:
            return self._plain(name, shape, repeat, transposed)
        inputs, outputs = shape if transposed else shape[::-1]
        pieces = self.base.scheme.pieces(inputs, outputs)
        return self._stored(name, shape, repeat, pieces, transposed)

    def experts(
        self, name: str, count: int, inputs: int, outputs: int, repeat: int = 1, transposed: bool = False
    ) -> Parameter:
        """The matrices of ``count`` experts in one tensor (count, outputs, inputs), or (count, inputs, outputs) if
        ``transposed``."""
        shape = (count, inputs, outputs) if transposed else (count, outputs, inputs)
        if self.base is None or not self.base.experts:
            return self._plain(name, shape, repeat, transposed)
        pieces = tuple(
            Piece(piece.name, count * piece.bytes, f"{count:,} × ({piece.formula})")
            for piece in self.base.scheme.pieces(inputs, outputs)
        )
        return self._stored(name, shape, repeat, pieces, transposed)

    def head(self, name: str, shape: tuple[int, int]) -> Parameter:
        """The matrix of the output head: few formats quantise it, and few checkpoints."""
        if self.base is None:
            return self.parameter(name, *shape)
        scheme, published = self.base.scheme, self.base.published
        make = scheme.pieces if published is not None and published.head else scheme.head_pieces
        pieces = make(shape[1], shape[0])
        return self._quantised(name, shape, 1, pieces, False) if pieces else self.parameter(name, *shape)

    def _plain(self, name: str, shape: tuple[int, ...], repeat: int, transposed: bool) -> Parameter:
        one = self.parameter(name, *shape, repeat=repeat)
        one.transposed = transposed
        return one

    def _stored(
        self, name: str, shape: tuple[int, ...], repeat: int, pieces: tuple[Piece, ...], transposed: bool
    ) -> Parameter:
        """The matrix as ``pieces``, but for the layers in which the checkpoint leaves it as it is. Of equal layers that
        differ in this one is run, with the quantised matrix; the others count with their own bytes."""
        left = self._left(name, repeat)
        if left == repeat:
            return self._plain(name, shape, repeat, transposed)
        if left:
            self._plain(f"{name} (left as it is)", shape, left, transposed)
        return self._quantised(name, shape, repeat - left, pieces, transposed)

    def _left(self, name: str, repeat: int) -> int:
        """In how many of the ``repeat`` layers that it stands for the checkpoint leaves a matrix as it is."""
        published = self.base.published if self.base is not None else None
        if published is None:
            return 0
        module = name.removesuffix(".weight")
        label, _, rest = module.partition(".")
        if label in self.layers:
            return kept_layers(published.kept, published.only, rest, tuple(self.layers[label]))
        return repeat * published.leaves(module)

    def _quantised(
        self, name: str, shape: tuple[int, ...], repeat: int, pieces: tuple[Piece, ...], transposed: bool
    ) -> Parameter:
        assert self.base is not None
        one = QuantisedParameter(name, shape, self.base.compute, repeat, self.base.scheme, pieces, transposed)
        self.parameters.append(one)
        return one

    def adapter(self, name: str, *shape: int, repeat: int) -> Parameter:
        assert self.lora is not None
        one = Parameter(name, shape, self.lora.format, repeat)
        self.parameters.append(one)
        return one

    def linear(
        self,
        path: str,
        name: str,
        inputs: int,
        outputs: int,
        bias: bool,
        repeat: int = 1,
        transposed: bool = False,
        kept: bool = False,
        saved: bool = False,
    ) -> Linear:
        """A linear layer ``path.name`` of shape inputs → outputs (``transposed``: GPT-2's Conv1D layout). ``kept``: one
        of the head, which quantisers leave as it is [transformers integrations/bitsandbytes.py]. ``saved``: one that
        PEFT trains whole beside the adapters."""
        full = f"{path}.{name}" if path else name
        if saved and self.lora is not None:
            return self._copied(full, inputs, outputs, bias)
        shape = (inputs, outputs) if transposed else (outputs, inputs)
        made = (
            self.parameter(f"{full}.weight", *shape)
            if kept
            else self.weight(f"{full}.weight", shape, repeat, transposed)
        )
        layer = Linear(made, transposed)
        if bias:
            layer.bias = self.parameter(f"{full}.bias", outputs, repeat=repeat)
            if self.base is not None and isinstance(layer.weight, QuantisedParameter):
                layer.bias.format = self.base.compute  # bitsandbytes casts it for good when it is first used
        if self.lora is not None and self.lora.covers(name):
            layer.lora = self.lora
            layer.down = self.adapter(f"{full}.lora_A.weight", self.lora.rank, inputs, repeat=repeat)
            layer.up = self.adapter(f"{full}.lora_B.weight", outputs, self.lora.rank, repeat=repeat)
            if self.lora.magnitudes:
                layer.magnitude = self.adapter(f"{full}.lora_magnitude_vector", outputs, repeat=repeat)
        return layer

    def _copied(self, full: str, inputs: int, outputs: int, bias: bool) -> Linear:
        """The layer's frozen original, which stays, and the trained copy of it that is used, in the same format
        [peft 0.21 utils/other.py, ModulesToSaveWrapper]. Not quantised: a packed weight cannot be trained."""
        shapes = {"weight": (outputs, inputs), **({"bias": (outputs,)} if bias else {})}
        frozen = {name: self.parameter(f"{full}.original_module.{name}", *shape) for name, shape in shapes.items()}
        copies = {name: Parameter(f"{full}.{name}", one.shape, one.format) for name, one in frozen.items()}
        self.parameters += copies.values()
        return Linear(copies["weight"], bias=copies.get("bias"))


@dataclass(slots=True)
class Linear:
    """``nn.Linear`` or Conv1D, with its adapter if it has one."""

    weight: Parameter
    transposed: bool = False
    bias: Parameter | None = None
    lora: Lora | None = None
    down: Parameter | None = None
    up: Parameter | None = None
    magnitude: Parameter | None = None

    def __call__(self, x: Tensor) -> Tensor:
        if isinstance(self.weight, QuantisedParameter):
            if self.lora is not None and self.magnitude is None:
                return self._adapted_quantised(x, self.weight)
            result = ops.linear_quantised(x, self.weight, self.bias)
        elif self.transposed and self.bias is not None:
            result = ops.conv1d(x, self.weight, self.bias)
        else:
            result = self.product(x)
        if self.lora is None:
            return result
        assert self.down is not None
        assert self.up is not None
        fmt = result.format
        # PEFT casts the input to the adapter's format; the sum has the wider format and is cast back.
        x = ops.to(x, self.down.format)
        if self.magnitude is not None:
            result = dora_sum(x, result, self.weight, self.bias, self.down, self.up, self.magnitude, self.lora.dropout)
            return ops.to(result, fmt)
        return ops.to(ops.add(result, self._adapter(x)), fmt)

    def _adapter(self, x: Tensor) -> Tensor:
        assert self.lora is not None
        assert self.down is not None
        assert self.up is not None
        return ops.scale(ops.linear(ops.linear(ops.dropout(x, self.lora.dropout), self.down), self.up))

    def _adapted_quantised(self, x: Tensor, weight: QuantisedParameter) -> Tensor:
        """PEFT's layer around bitsandbytes': the result is cloned, and only outside autocast are the input cast to the
        adapter's format and what the adapter adds cast back [peft 0.21 tuners/lora/bnb.py, Linear4bit.forward]."""
        assert self.down is not None
        result = ops.contiguous(ops.linear_quantised(x, weight, self.bias), True)
        if x.tape.autocast is not None:
            return ops.add(result, self._adapter(x))
        x = ops.to(x, self.down.format)
        return ops.add(result, ops.to(self._adapter(x), result.format))

    def product(self, x: Tensor) -> Tensor:
        """``nn.Linear`` without its adapter."""
        return ops.linear(x, self.weight, self.bias)


def rms_norm(
    x: Tensor, weight: Parameter, weight_first: bool = False, fused: bool = True, in_place: bool = True
) -> Tensor:
    """transformers' LlamaRMSNorm, written out in elementwise operators in fp32 (or Liger's fused one).
    ``weight_first``: multiplied by its weight before it is cast back, as in gpt-oss; ``fused``: whether Liger has this
    one, and ``in_place``: whether its backward writes over the incoming gradient."""
    if x.tape.liger and fused:
        return ops.fused_rms_norm(x, weight, in_place)
    fmt = x.format
    x = ops.to(x, Format.FP32)
    variance = ops.mean_last(ops.power(x))
    x = ops.mul(x, ops.rsqrt(ops.add_scalar(variance)))
    if weight_first:
        return ops.to(ops.mul(x, weight), fmt)
    return ops.mul(ops.to(x, fmt), weight)


def gelu_new(x: Tensor) -> Tensor:
    """transformers' NewGELUActivation: 0.5·x·(1 + tanh(√(2/π)·(x + 0.044715·x³))), seven operators."""
    return ops.mul(ops.scale(x), ops.add_scalar(ops.tanh(ops.scale(ops.add(x, ops.scale(ops.power(x)))))))


def gelu_fast(x: Tensor) -> Tensor:
    """transformers' FastGELUActivation: 0.5·x·(1 + tanh(x·√(2/π)·(1 + 0.044715·x·x)))."""
    half = ops.scale(x)
    return ops.mul(half, ops.add_scalar(ops.tanh(ops.mul(ops.scale(x), ops.add_scalar(ops.mul(ops.scale(x), x))))))


def activation(name: str, x: Tensor) -> Tensor:
    """The feed-forward activation by its Hugging Face name."""
    if name in ("silu", "swish"):
        return ops.silu(x)
    if name == "gelu_new":
        return gelu_new(x)
    if name == "gelu_fast":
        return gelu_fast(x)
    if name == "relu":
        return ops.relu(x)
    if name == "relu2":
        return ops.power(ops.relu(x))
    return ops.gelu(x)


KNOWN_ACTIVATIONS = ("silu", "swish", "gelu", "gelu_new", "gelu_fast", "gelu_pytorch_tanh", "relu", "relu2")
