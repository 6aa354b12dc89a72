"""How long a training step takes, by a simple model: enough to compare two ways of doing the same step, no more.

A step computes, and it moves what belongs to every parameter through the card's memory; the model adds both up, as if
nothing overlapped. It knows no attention scores, no communication, no launching of kernels. Nothing here is measured.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

OPERATIONS: Final = {"forward": 2, "backward": 4, "again": 2}
"""Floating-point operations for each parameter and token: a product and a sum forward; twice that backward, for the
inputs' gradients and the weights'; and the forward pass again with full checkpointing. Kaplan et al., "Scaling Laws for
Neural Language Models" (arXiv 2001.08361), section 2.1; Epoch AI, "What's the backward-forward FLOP ratio for neural
networks?" (epochai.org/blog/backward-forward-FLOP-ratio): close to 2 to 1 but for first layers and small batches; Chen
et al. (arXiv 1604.06174) for the repeated pass."""
PASS_BYTES: Final = 22
"""Bytes moved for each parameter and micro-batch in mixed precision: the weight read (4) and its 16-bit copy written
(2), the copy read forward (2) and backward (2), the gradient read (4), added to (4), written (4)."""
STEP_BYTES: Final = 28
"""Bytes moved for each parameter by AdamW: weight, gradient and two averages read (16), all but the gradient written
(12)."""
COMPUTES: Final = 156e12
"""Operations a second: half of the 312e12 that an A100's data sheet promises for dense bf16. An assumption."""
MOVES: Final = 2.0e12
"""Bytes a second: the A100 80 GB's data sheet."""


@dataclass(frozen=True)
class StepTime:
    """Seconds of one training step, by the model above."""

    computing: float
    passes: float
    optimizer: float

    @property
    def total(self) -> float:
        return self.computing + self.passes + self.optimizer


def step_time(parameters: int, tokens: int, micro_batches: int = 1, checkpointing: bool = False) -> StepTime:
    """One step over ``tokens`` in all, in so many micro-batches. ``parameters``: those a token goes through.

    >>> round(step_time(8_000_000_000, 16_384, 16).total / step_time(8_000_000_000, 16_384, 1).total, 2)
    1.25
    """
    operations = OPERATIONS["forward"] + OPERATIONS["backward"] + (OPERATIONS["again"] if checkpointing else 0)
    return StepTime(
        operations * parameters * tokens / COMPUTES,
        micro_batches * PASS_BYTES * parameters / MOVES,
        STEP_BYTES * parameters / MOVES,
    )
