"""The two blocks that a U-Net of diffusers is made of: convolutions with a time step, and attention to itself and to
text.

Mirrors diffusers 0.42 models/resnet.py, models/transformers/transformer_2d.py, models/attention.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from memcalc.architectures.encoder import make_norm
from memcalc.architectures.layers import Linear, Maker, Norm
from memcalc.architectures.run import Run
from memcalc.tensors import ops
from memcalc.tensors.autograd import checkpointed
from memcalc.tensors.ops import images, maps, patches
from memcalc.tensors.tensor import Tensor

GROUPS = 32
"""Groups of every group norm [norm_num_groups]."""
Step = Callable[[Tensor], Tensor]


def make_conv(make: Maker, name: str, inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> Step:
    """A convolution with a bias that keeps the side (or divides it by ``stride``)."""
    weight = make.parameter(f"{name}.weight", outputs, inputs, kernel, kernel)
    bias = make.parameter(f"{name}.bias", outputs)
    return lambda x: images.convolution(x, weight, bias, stride, kernel // 2)


def make_group_norm(make: Maker, name: str, width: int) -> Norm:
    """A group norm with weight and bias."""
    weight, bias = make.parameter(f"{name}.weight", width), make.parameter(f"{name}.bias", width)
    return lambda x: maps.group_norm(x, weight, bias, GROUPS)


class Resnet:
    """ResnetBlock2D."""

    def __init__(self, make: Maker, name: str, inputs: int, outputs: int, time: int) -> None:
        self.norm1 = make_group_norm(make, f"{name}.norm1", inputs)
        self.conv1 = make_conv(make, f"{name}.conv1", inputs, outputs)
        self.time = make.linear(name, "time_emb_proj", time, outputs, True)
        self.norm2 = make_group_norm(make, f"{name}.norm2", outputs)
        self.conv2 = make_conv(make, f"{name}.conv2", outputs, outputs)
        self.shortcut = make_conv(make, f"{name}.conv_shortcut", inputs, outputs, 1) if inputs != outputs else None

    def __call__(self, x: Tensor, time: Tensor, run: Run) -> Tensor:
        if not run.checkpointing:
            return self.made(x, time)
        return checkpointed(x.tape, lambda: self.made(x, time), [x, time])

    def made(self, x: Tensor, time: Tensor) -> Tensor:
        """The block, whatever is kept of it."""
        hidden = self.norm1(x)
        hidden = ops.silu(hidden)
        hidden = self.conv1(hidden)
        time = ops.silu(time)
        time = self.time(time)
        hidden = ops.add(hidden, time.view(*time.shape, 1, 1))
        hidden = self.norm2(hidden)
        hidden = ops.silu(hidden)
        hidden = self.conv2(hidden)
        if self.shortcut is not None:
            x = self.shortcut(x)
        return ops.scale(ops.add(x, hidden), "div")


@dataclass(slots=True)
class Attention:
    """The linear layers of one attention."""

    query: Linear
    key: Linear
    value: Linear
    out: Linear
    heads: int

    @classmethod
    def make(
        cls, make: Maker, name: str, width: int, other: int, heads: int, bias: bool = False, repeat: int = 1
    ) -> Attention:
        """Queries of ``width`` values, keys and values of ``other``."""
        return cls(
            make.linear(name, "to_q", width, width, bias, repeat),
            make.linear(name, "to_k", other, width, bias, repeat),
            make.linear(name, "to_v", other, width, bias, repeat),
            make.linear(name, "to_out.0", width, width, True, repeat),
            heads,
        )

    def __call__(self, x: Tensor, other: Tensor, run: Run, mapped: bool = False) -> Tensor:
        """[AttnProcessor2_0]; ``mapped``: the gradient comes laid out as a map, and is copied."""
        query, key, value = self.query(x), self.key(other), self.value(other)
        batch, length, width = query.shape
        d = width // self.heads
        query = query.view(batch, self.heads, length, d)
        key, value = (one.view(batch, self.heads, other.shape[1], d) for one in (key, value))
        hidden = ops.attend(query, key, value, None, False, run.attention, 0.0)
        kernel = ops.chosen_kernel(hidden.format, d, False, False, run.attention)
        copies = ops.output_copies(kernel, d, hidden.tape.reorders(self.heads))
        hidden = ops.contiguous(hidden, copies, (batch, length, width))
        hidden = self.out(hidden)
        if mapped:
            hidden = patches.turned(hidden)
        hidden = ops.scale(hidden, "div")
        del query, key, value
        return hidden


class Transformer:
    """Transformer2DModel with one BasicTransformerBlock, between two convolutions of one pixel."""

    def __init__(self, make: Maker, name: str, width: int, text: int, heads: int) -> None:
        block = f"{name}.transformer_blocks.0"
        self.norm = make_group_norm(make, f"{name}.norm", width)
        self.enter = make_conv(make, f"{name}.proj_in", width, width, 1)
        self.norm1 = make_norm(make, f"{block}.norm1", width)
        self.own = Attention.make(make, f"{block}.attn1", width, width, heads)
        self.norm2 = make_norm(make, f"{block}.norm2", width)
        self.text = Attention.make(make, f"{block}.attn2", width, text, heads)
        self.norm3 = make_norm(make, f"{block}.norm3", width)
        self.wide = make.linear(f"{block}.ff.net", "0.proj", width, 8 * width, True)
        self.narrow = make.linear(f"{block}.ff.net", "2", 4 * width, width, True)
        self.leave = make_conv(make, f"{name}.proj_out", width, width, 1)

    def __call__(self, x: Tensor, text: Tensor, run: Run) -> Tensor:
        batch, width, high, across = x.shape
        hidden = self.norm(x)
        hidden = self.enter(hidden)
        hidden = patches.seen(hidden, batch, high * across, width)
        hidden = self._kept(hidden, text, run)
        out = patches.laid(hidden, x.shape)
        out = self.leave(out)
        out = ops.add(out, x)
        del hidden
        return out

    def _kept(self, hidden: Tensor, text: Tensor, run: Run) -> Tensor:
        if not run.checkpointing:
            return self._block(hidden, text, run)
        return checkpointed(hidden.tape, lambda: self._block(hidden, text, run), [hidden, text])

    def _block(self, hidden: Tensor, text: Tensor, run: Run) -> Tensor:
        normed = self.norm1(hidden)
        out = self.own(normed, normed, run, True)
        hidden = ops.add(out, hidden)
        normed = self.norm2(hidden)
        out = self.text(normed, text, run, True)
        hidden = ops.add(out, hidden)
        normed = self.norm3(hidden)
        fed = self._feed_forward(normed)
        hidden = ops.add(fed, hidden)
        del normed, out, fed
        return hidden

    def _feed_forward(self, normed: Tensor) -> Tensor:
        hidden = self._gated(normed)
        return patches.turned(self.narrow(hidden))

    def _gated(self, normed: Tensor) -> Tensor:
        """GEGLU."""
        hidden, gate = ops.chunk_last(self.wide(normed), 2)
        return ops.mul(hidden, ops.gelu(gate))
