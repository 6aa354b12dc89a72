"""Sweep: memory over any two settings, with the frontier of each card."""

from memcalc.ui import glossary, map_view

map_view.show()
glossary.row(("batch", "sequence", "activations", "KV cache", "LoRA", "range", "GiB and GB", "16 GB card"))
