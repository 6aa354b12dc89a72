"""Whole run: evaluation, samples, DPO, GRPO, checkpoints and main memory around a training step."""

from memcalc.ui import rest_view

rest_view.show()
