"""The rest of a run: what happens beside the training step, on the card, in the computer's memory and on disk."""

from memcalc.rest.lines import whole_run
from memcalc.rest.values import Line, Rest, WholeRun

__all__ = ["Line", "Rest", "WholeRun", "whole_run"]
