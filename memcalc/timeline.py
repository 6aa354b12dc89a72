"""A whole run as stages: load, forward, backward, optimizer; prefill, decode."""

from __future__ import annotations

from dataclasses import dataclass

from memcalc.tensors.tape import Size
from memcalc.tensors.timeline import Segment


@dataclass(slots=True)
class Stage:
    """A stretch of the run: its phase and step, what lives before it starts, and what runs in it.

    ``base``: bytes that live beside the tape's tensors, by component. ``before``: segments already run
    whose tensors may still live. ``temporary``: bytes on top of everything, at the stage's highest instant.
    """

    phase: str
    step: int
    base: dict[str, Size]
    parts: list[Segment]
    before: list[Segment]
    temporary: Size = 0

    @property
    def level(self) -> Size:
        """Bytes alive when it starts."""
        return sum(self.base.values()) + sum(one.total_net for one in self.before)
