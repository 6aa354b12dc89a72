"""torchvision's vision transformers, whose attention is torch's MultiheadAttention: it turns batch and tokens round,
copies on the way, and adds the bias by itself.

Mirrors torchvision 0.28 models/vision_transformer.py and torch 2.13 nn/functional.py (multi_head_attention_forward).
Outside training a card runs torch's fast path instead, which copies less: the feed-forward, where the peak is, is the
same [nn/modules/activation.py].
"""

from __future__ import annotations

from dataclasses import replace

from memcalc.architectures.encoder import Block, LinearLayer
from memcalc.architectures.images import Classifier
from memcalc.architectures.program import Inputs, run_blocks
from memcalc.architectures.run import Run
from memcalc.architectures.vit import ViT
from memcalc.tensors import ops
from memcalc.tensors.ops import patches
from memcalc.tensors.tape import Tape
from memcalc.tensors.tensor import Tensor


class TorchvisionViT(ViT):
    """One product for queries, keys and values; always torch's attention."""

    linear_names = ()
    head_name = "heads.head"
    norm_names = ("ln_1", "ln_2")

    def layers(self) -> list[LinearLayer | str]:
        h, wide = self.spec.hidden, self.spec.ffn
        return ["ln_1", ("self_attention.in_proj", h, 3 * h), ("self_attention.out_proj", h, h), "ln_2",
                ("mlp.fc1", h, wide), ("mlp.fc2", wide, h)]  # fmt: skip

    def loss(self, tape: Tape, inputs: Inputs, run: Run) -> Tensor:
        return Classifier.loss(self, tape, inputs, run)

    def encoded(self, tape: Tape, pixels: Tensor, run: Run) -> Tensor:
        run = replace(run, attention=replace(run.attention, causal=False))
        tokens = self.tokens(pixels, run)
        embedded = ops.add(tokens, self.positions)
        hidden = run_blocks(tape, self.plan, embedded, run, (), self.runner(run))
        tape.begin(tape.sections[-1].phase, "head")
        hidden = self.norm(hidden)
        del tokens, embedded
        return hidden

    def attend(self, one: Block, hidden: Tensor, run: Run) -> tuple[Tensor, None]:
        spec = self.spec
        shape = (run.batch, spec.heads, spec.tokens(spec.side), spec.head_dim)
        joint = one.linears["self_attention.in_proj"]
        assert joint.bias is not None
        x = patches.linear_turned(hidden, joint.weight, joint.bias)
        x = patches.copied(x)  # queries, then keys, then values
        query, key, value = patches.selected(x, 3, shape)
        x = ops.attend(query, key, value, None, False, run.attention, 0.0)
        kernel = ops.chosen_kernel(x.format, spec.head_dim, False, False, run.attention)
        x = ops.contiguous(x, kernel != "flash" and not x.tape.one_sequence, hidden.shape)
        del query, key, value
        x = one.linears["self_attention.out_proj"](x)
        return patches.turned(x), None
