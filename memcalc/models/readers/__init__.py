"""One reader of ``config.json`` a family; ``FAMILIES`` maps every known ``model_type`` to its reader."""

from __future__ import annotations

from memcalc.models.reader import Family
from memcalc.models.readers import gpt2, llama

FAMILIES: dict[str, Family] = {**gpt2.FAMILIES, **llama.FAMILIES}

__all__ = ["FAMILIES"]
