"""Whole run: evaluation, samples, DPO, GRPO, checkpoints and main memory around a training step."""

from memcalc.ui import glossary, rest_view

rest_view.show()
glossary.row(("training step", "DPO", "GRPO", "checkpoint", "optimizer states", "KV cache", "range", "GiB and GB"))
