"""Vision transformers of transformers that differ from ViT in little: DeiT with a second learned token, DINOv2 with a
learned scale on every branch and a head that reads the mean of the patches too.

Mirrors transformers 5.23 models/deit/modeling_deit.py and models/dinov2/modeling_dinov2.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from memcalc.architectures.encoder import Block, LinearLayer
from memcalc.architectures.layers import Maker
from memcalc.architectures.run import Run
from memcalc.architectures.spec import ModelSpec
from memcalc.architectures.vit import ViT, ViTSpec
from memcalc.formats import Format
from memcalc.tensors import ops
from memcalc.tensors.ops import images, patches
from memcalc.tensors.tensor import Parameter, Tensor


class DeiT(ViT):
    """DeiTForImageClassification: a token for the teacher's label, which this head does not read."""


@dataclass(frozen=True, slots=True)
class Dinov2Spec(ViTSpec):
    """``gated``: the feed-forward is SwiGLU; ``masked``: a token for hidden patches lies there, unused."""

    gated: bool = False
    masked: bool = True


class Dinov2(ViT):
    """Dinov2ForImageClassification."""

    linear_names: ClassVar[tuple[str, ...]] = (
        "q_proj", "k_proj", "v_proj", "o_proj", "fc1", "fc2", "gate_proj", "up_proj", "down_proj",
    )  # fmt: skip
    norm_names: ClassVar[tuple[str, str]] = ("norm1", "norm2")
    softmax: ClassVar[Format | None] = None
    spec: Dinov2Spec

    def __init__(self, spec: ModelSpec, maker: Maker, unroll: bool = False) -> None:
        super().__init__(spec, maker, unroll)
        self.unused = self._mask() if self.spec.masked else 0
        self.scales: list[tuple[Parameter, Parameter]] = []
        for one in self.plan:
            first, second = (
                maker.parameter(f"{one.label}.layer_scale{i}.lambda1", self.spec.hidden, repeat=one.repeat)
                for i in (1, 2)
            )
            self.scales.append((first, second))

    def _mask(self) -> int:
        """The token for hidden patches: no gradient ever reaches it. How many values are trained in name only."""
        token = self.maker.parameter("mask_token", 1, self.spec.hidden)
        if not token.trainable:
            return 0
        token.trainable = False
        return token.count

    @property
    def unreached(self) -> int:
        return self.unused

    @property
    def read(self) -> int:
        return 2 * self.spec.hidden

    def layers(self) -> list[LinearLayer | str]:
        layers = super().layers()
        if not self.spec.gated:
            return layers
        h, wide = self.spec.hidden, self.spec.ffn
        gated: list[LinearLayer | str] = [
            ("mlp.gate_proj", h, wide), ("mlp.up_proj", h, wide), ("mlp.down_proj", wide, h),
        ]  # fmt: skip
        return layers[:-2] + gated

    def pooled(self, hidden: Tensor) -> Tensor:
        """The first token beside the mean of the patches, (batch, 2·hidden)."""
        return ops.cat_halves(ops.first_token(hidden), patches.mean_after(hidden, 1))

    def attended(self, one: Block, x: Tensor, run: Run) -> tuple[Tensor, Tensor | None]:
        x, weights = self.attend(one, x, run)
        return images.scaled(x, self._scales(one)[0]), weights

    def fed(self, one: Block, x: Tensor, run: Run) -> Tensor:
        x = self._gated(one, x) if self.spec.gated else self.feed_forward(one, x)
        return images.scaled(x, self._scales(one)[1])

    def _scales(self, one: Block) -> tuple[Parameter, Parameter]:
        return self.scales[next(i for i, other in enumerate(self.blocks) if other is one)]

    def _gated(self, one: Block, x: Tensor) -> Tensor:
        inner = ops.mul(ops.silu(one.linears["mlp.gate_proj"](x)), one.linears["mlp.up_proj"](x))
        return one.linears["mlp.down_proj"](inner)
