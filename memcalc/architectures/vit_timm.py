"""timm's vision transformers, vit_* and deit_*.

Mirrors timm 1.0 models/vision_transformer.py and layers/attention.py.
"""

from __future__ import annotations

from dataclasses import replace

from memcalc.architectures.attention import attention
from memcalc.architectures.encoder import Block, LinearLayer
from memcalc.architectures.images import Classifier
from memcalc.architectures.program import Inputs, run_blocks
from memcalc.architectures.run import Run
from memcalc.architectures.vit import ViT
from memcalc.tensors import ops
from memcalc.tensors.ops import patches
from memcalc.tensors.tape import Tape
from memcalc.tensors.tensor import Tensor


class TimmViT(ViT):
    """timm's VisionTransformer: one product for queries, keys and values; always torch's attention."""

    linear_names = ()
    head_name = "head"
    norm_names = ("norm1", "norm2")

    def layers(self) -> list[LinearLayer | str]:
        h, wide = self.spec.hidden, self.spec.ffn
        return ["norm1", ("attn.qkv", h, 3 * h), ("attn.proj", h, h), "norm2", ("mlp.fc1", h, wide),
                ("mlp.fc2", wide, h)]  # fmt: skip

    def loss(self, tape: Tape, inputs: Inputs, run: Run) -> Tensor:
        return Classifier.loss(self, tape, inputs, run)

    def encoded(self, tape: Tape, pixels: Tensor, run: Run) -> Tensor:
        run = replace(run, attention=replace(run.attention, causal=False))
        x = ops.add(self.tokens(pixels, run), self.positions)
        x = run_blocks(tape, self.plan, x, run, (), self.runner(run))
        tape.begin(tape.sections[-1].phase, "head")
        return self.norm(x)

    def block(self, one: Block, hidden: Tensor, run: Run) -> Tensor:
        x = one.norms["norm1"](hidden)
        x, _ = self.attend(one, x, run)
        hidden = ops.add(hidden, x)
        x = one.norms["norm2"](hidden)
        x = self.feed_forward(one, x)
        return ops.add(hidden, x)

    def attend(self, one: Block, hidden: Tensor, run: Run) -> tuple[Tensor, Tensor | None]:
        spec = self.spec
        shape = (run.batch, spec.heads, spec.tokens(spec.side), spec.head_dim)
        qkv = one.linears["attn.qkv"](hidden)
        query, key, value = patches.unbound(qkv, 3, shape)
        out, _ = attention(query, key, value, None, replace(run, eager=False), 0.0, None)
        out = one.linears["attn.proj"](out)
        del qkv, query, key, value
        return out, None
