"""Someone who looks on while a program runs: what a wrapper around the model does between its operators.

Data-parallel wrappers act at four moments: before and after a block (``enter``, ``leave``), when a parameter's gradient
is complete (``delivered``, torch's post-accumulate-grad hook), and when backward is over (``finish``). What they
allocate goes on the same tape, and lives as long as they hold it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from memcalc.tensors.tape import Section, Tape
    from memcalc.tensors.tensor import Parameter


class Watch:
    """Does nothing; wrappers override what they act upon."""

    def enter(self, tape: Tape, section: Section) -> None:
        """A section begins."""

    def leave(self, tape: Tape, section: Section) -> None:
        """A section ends."""

    def delivered(self, tape: Tape, parameter: Parameter) -> None:
        """A parameter's gradient is complete and lies in ``parameter.grad``."""

    def finish(self, tape: Tape) -> None:
        """A micro-batch's backward is over."""
