"""Vision transformers: patches as tokens, a learned token before them, blocks of attention and feed-forward with the
norm first, a linear layer on the first token.

Mirrors transformers 5.23 models/vit/modeling_vit.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar

from memcalc.architectures.attention import attention
from memcalc.architectures.encoder import Block, LinearLayer, make_block, make_norm
from memcalc.architectures.images import Classifier, ImageSpec
from memcalc.architectures.layers import Maker, activation
from memcalc.architectures.program import Inputs, run_blocks
from memcalc.architectures.run import Run
from memcalc.architectures.spec import ModelSpec, templates
from memcalc.formats import Format
from memcalc.tensors import ops
from memcalc.tensors.ops import images, patches
from memcalc.tensors.tape import Tape
from memcalc.tensors.tensor import Tensor


@dataclass(frozen=True, slots=True)
class ViTSpec(ImageSpec):
    """``patch``: pixels a side of a patch; the picture has whole patches only, what is left at the edge is not seen;
    ``learned``: tokens before those of the patches."""

    patch: int = 16
    learned: int = 1

    @property
    def attention_free(self) -> bool:
        return False

    @property
    def convolves(self) -> bool:
        return False

    @property
    def has_eager(self) -> bool:
        return self.library == "transformers"

    @property
    def methods(self) -> tuple[str, ...]:
        return ("full", "head", "lora", "dora") if self.library == "transformers" else ("full", "head")

    @property
    def checkpoints(self) -> tuple[str, ...]:
        if self.library == "transformers":
            return ("none", "full", "selective-ops", "selective-attention")
        return ("none", "full") if self.library == "timm" else ("none",)

    def patches(self, side: int) -> int:
        """How many a picture of ``side`` pixels a side has."""
        return (side // self.patch) ** 2

    def tokens(self, side: int) -> int:
        return self.patches(side) + self.learned

    def resized(self, side: int) -> list[str]:
        return [f"pictures of {side} × {side} pixels: the model is taken as built for them, with as many positions"]

    def widest(self, side: int) -> int:
        """The pixels, or what the patches become."""
        return max(self.channels * side**2, self.hidden * self.patches(side))


class ViT(Classifier):
    """transformers' ViTForImageClassification."""

    linear_names: ClassVar[tuple[str, ...]] = ("q_proj", "k_proj", "v_proj", "o_proj", "fc1", "fc2")
    head_name: ClassVar[str] = "classifier"
    softmax: ClassVar[Format | None] = Format.FP32
    norm_names: ClassVar[tuple[str, str]] = ("layernorm_before", "layernorm_after")
    spec: ViTSpec

    def __init__(self, spec: ModelSpec, maker: Maker, unroll: bool = False) -> None:
        super().__init__(spec, maker)
        spec = self.spec
        self.plan = templates([None] * spec.layers, unroll)
        self.first = [maker.parameter(f"first_tokens.{i}", 1, 1, spec.hidden) for i in range(spec.learned)]
        self.positions = maker.parameter("position_embeddings", 1, spec.tokens(spec.side), spec.hidden)
        self.projection = maker.parameter("projection.weight", spec.hidden, spec.channels, spec.patch, spec.patch)
        self.shift = maker.parameter("projection.bias", spec.hidden)
        self.blocks = [make_block(maker, one.label, one.repeat, self.layers(), spec.hidden) for one in self.plan]
        self.norm = make_norm(maker, "layernorm", spec.hidden)
        self.head = maker.linear("", self.head_name, self.read, spec.labels, True, kept=True)

    @property
    def read(self) -> int:
        """Values that the head reads."""
        return self.spec.hidden

    @classmethod
    def head_names(cls, spec: ModelSpec) -> tuple[str, ...]:
        return (f"{cls.head_name}.",)

    def layers(self) -> list[LinearLayer | str]:
        """The layers of a block."""
        h, wide, q = self.spec.hidden, self.spec.ffn, self.spec.heads * self.spec.head_dim
        projections = ((f"attention.{one}_proj", h, q, self.spec.qkv_bias) for one in "qkv")
        before, after = self.norm_names
        return [*projections, ("attention.o_proj", q, h), before, after, ("mlp.fc1", h, wide), ("mlp.fc2", wide, h)]

    def tokens(self, pixels: Tensor, run: Run) -> Tensor:
        """The first token and the patches, (batch, tokens, hidden): each patch by a convolution of its own size."""
        spec = self.spec
        x = images.convolution(pixels, self.projection, self.shift, spec.patch, 0)
        x = x.view(run.batch, spec.patches(spec.side), spec.hidden)
        return patches.after(x, *self.first)

    def encoded(self, tape: Tape, pixels: Tensor, run: Run) -> Tensor:
        """The last hidden states."""
        run = replace(run, attention=replace(run.attention, causal=False))
        embedded = ops.add(self.tokens(pixels, run), self.positions)
        embedded = ops.dropout(embedded, self._p(run))
        hidden = run_blocks(tape, self.plan, embedded, run, (), self.runner(run))
        tape.begin(tape.sections[-1].phase, "head")
        hidden = self.norm(hidden)
        del embedded
        return hidden

    def scores(self, tape: Tape, pixels: Tensor, run: Run) -> Tensor:
        return self.head(self.pooled(self.encoded(tape, pixels, run)))

    def pooled(self, hidden: Tensor) -> Tensor:
        """What the head reads: the first token."""
        return ops.first_token(hidden)

    def loss(self, tape: Tape, inputs: Inputs, run: Run) -> Tensor:
        """Forward pass and cross entropy; the hidden states live until it is taken."""
        hidden = self.encoded(tape, inputs["pixel_values"], run)
        pooled = self.pooled(hidden)
        logits = self.head(pooled)
        loss = ops.cross_entropy(logits, inputs["labels"])
        del hidden, pooled, logits
        return loss

    def _p(self, run: Run) -> float:
        return self.spec.residual_dropout if run.training else 0.0

    def runner(self, run: Run) -> Callable[[int, Tensor], Tensor]:
        """How a block is run."""
        return lambda index, x: self.block(self.blocks[index], x, run)

    def block(self, one: Block, hidden: Tensor, run: Run) -> Tensor:
        x = one.norms[self.norm_names[0]](hidden)
        x, weights = self.attended(one, x, run)
        x = residual = ops.add(x, hidden)
        x = one.norms[self.norm_names[1]](x)
        x = self.fed(one, x, run)
        x = ops.add(x, residual)
        del weights  # eager attention's, a local variable of the block
        return x

    def attended(self, one: Block, x: Tensor, run: Run) -> tuple[Tensor, Tensor | None]:
        """Attention with what comes behind it, and the weights that the block holds."""
        x, weights = self.attend(one, x, run)
        return ops.dropout(x, self._p(run)), weights

    def fed(self, one: Block, x: Tensor, run: Run) -> Tensor:
        """The feed-forward with what comes behind it."""
        x = self.feed_forward(one, x)
        return ops.dropout(x, self._p(run))

    def attend(self, one: Block, hidden: Tensor, run: Run) -> tuple[Tensor, Tensor | None]:
        spec = self.spec
        shape = (run.batch, spec.heads, spec.tokens(spec.side), spec.head_dim)
        names = ("attention.q_proj", "attention.k_proj", "attention.v_proj")
        query, key, value = (one.linears[name](hidden).view(*shape) for name in names)
        p = spec.attention_dropout if run.training else 0.0
        fmt = self.softmax
        out, weights = attention(query, key, value, None, run, p, fmt, narrow=fmt is not None)
        out = one.linears["attention.o_proj"](out)
        del query, key, value
        return out, weights

    def feed_forward(self, one: Block, x: Tensor) -> Tensor:
        x = one.linears["mlp.fc1"](x)
        x = activation(self.spec.activation, x)
        return one.linears["mlp.fc2"](x)
