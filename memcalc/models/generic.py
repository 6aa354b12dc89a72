"""A decoder from its size alone: a plausible Llama-like depth and width, said to be an assumption.

Width follows published models: hidden / layers is 64 at 0.1 B parameters, about 100 at 1 B, 128 from 7 B
on (Llama 7B: 4096 / 32; 70B: 8192 / 80; 405B: 16384 / 126). The feed-forward width is then chosen so that
the number of parameters is met.
"""

from __future__ import annotations

import math
from dataclasses import replace

from memcalc.architectures.spec import DecoderSpec
from memcalc.errors import ModelError
from memcalc.models.description import ModelDescription
from memcalc.models.reader import finite
from memcalc.units import count

SMALLEST, LARGEST = 1_000_000, 100_000_000_000_000


def describe(parameters: object) -> ModelDescription:
    """A generic decoder of ``parameters`` parameters (met to within a thousandth)."""
    if not finite(parameters) or not SMALLEST <= parameters <= LARGEST:  # type: ignore[operator]
        raise ModelError(f"parameters must be a number from {SMALLEST:,} to {LARGEST:,}", "model.parameters")
    total = int(parameters)  # type: ignore[call-overload]
    spec = shaped(total, 1.0)
    note = (
        f"only the size is known: a Llama-like decoder with {spec.layers} layers of width {spec.hidden}, "
        f"{spec.kv_heads} of {spec.heads} heads for keys and values and a vocabulary of {spec.vocab:,} is assumed; "
        "the range covers flatter and deeper shapes"
    )
    return ModelDescription(f"generic {count(total)}", spec, "generic", (note,), "a number of parameters")


def alternatives(parameters: int) -> tuple[DecoderSpec, ...]:
    """Other plausible decoders of that size: deeper and narrower, flatter and wider."""
    return shaped(parameters, 0.6), shaped(parameters, 1.6)


def shaped(total: int, flatness: float) -> DecoderSpec:
    """A decoder of ``total`` parameters; ``flatness`` scales hidden / layers (1: as published models are)."""
    vocab = 32_000 if total < 3e8 else 128_256 if total >= 1e9 else 50_304
    vocab = min(vocab, max(256, total // 2048))
    tied = total < 3e9
    embeddings = 1 if tied else 2
    ratio = flatness * min(128.0, max(24.0, 64 + 32 * math.log10(total / 1.2e8)))
    # 12·h²·L of a block, with L = h / ratio
    rough = (total * ratio / 12) ** (1 / 3)
    head_dim = 128 if rough >= 1536 else 64
    unit = head_dim * (8 if rough >= 4096 else 4 if rough >= 1024 else 1)
    hidden = max(unit, round(rough / unit) * unit)
    while embeddings * vocab * hidden > 0.6 * total and hidden > unit:
        hidden -= unit
    heads = hidden // head_dim
    kv_heads = (8 if heads % 8 == 0 else 4) if total >= 1e9 else heads
    base = DecoderSpec(
        family="llama",
        vocab=vocab,
        hidden=hidden,
        layers=1,
        heads=heads,
        kv_heads=kv_heads,
        head_dim=head_dim,
        ffn=1,
        max_positions=1_048_576,
        activation="silu",
        tied=tied,
    )
    attention = 2 * hidden * hidden + 2 * hidden * kv_heads * head_dim + 2 * hidden
    body = total - embeddings * vocab * hidden - hidden
    usual = attention + 3 * hidden * (28 * hidden // 8)
    layers = max(1, round(body / usual))
    ffn = max(1, round((body / layers - attention) / (3 * hidden)))
    return replace(base, layers=layers, ffn=ffn)
