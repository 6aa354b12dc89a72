"""What a server's trial run needs for a moment: the forward pass of a full batch of tokens, and sampling for a full
house of sequences. Servers measure it and plan around it; here it is estimated."""

from __future__ import annotations

from memcalc.architectures.spec import ModelSpec
from memcalc.runtimes.served import Term

SAMPLER = 40
"""Bytes a logit while top-k and top-p are sampled: logits in 16 and 32 bits (6), sorted values and indices (12) and the
sort's own copies (about 12), softmax and its running sum (8), the mask and the result. Published activation peaks of
vLLM that are the sampler's lie at 36 to 41 [logs with 256 and 320 sequences, vocabularies of 100,352 to 151,936]."""
SPREAD = 0.5
"""How far the real peak may lie from the estimate, as a share of it: kernels, fusion and versions differ (assumed)."""


def activation(spec: ModelSpec, tokens: int, sequences: int, size: int, vocab: int) -> Term:
    """Bytes of the trial run: ``tokens`` in one forward pass with values of ``size`` bytes, or ``sequences`` sampled at
    once, whichever is more. In the feed-forward gate and up, their product and the hidden states are alive, residual
    and input beside them. ``spec`` is one card's part; ``vocab`` the whole vocabulary, whose logits every card has."""
    wide = max(3 * spec.ffn, 2 * spec.heads * spec.head_dim)
    forward = tokens * size * (wide + 3 * spec.hidden)
    sampling = sequences * vocab * SAMPLER + tokens * size * spec.hidden
    point = max(forward, sampling)
    return round(point * (1 - SPREAD)), point, round(point * (1 + SPREAD))
