"""Checkpoints that see or hear as well: the configuration of the language model inside.

What reads pictures and sound is left out, which is said; the language model is described as if it stood alone, as
transformers runs it on text.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from memcalc.errors import ModelError
from memcalc.models.reader import FIELD, View, shown

TEXT_PARTS: dict[str, tuple[str, str]] = {
    "llama4": ("llama4_text", "Llama4ForConditionalGeneration"),
    "gemma3": ("gemma3_text", "Gemma3ForConditionalGeneration"),
    "gemma3n": ("gemma3n_text", "Gemma3nForConditionalGeneration"),
    "mistral3": ("mistral", "Mistral3ForConditionalGeneration"),
}
"""model_type of the whole: the usual one of its ``text_config``, and the whole's own head."""

REFUSED = {
    "mllama": "Llama 3.2 Vision has layers of cross-attention to the picture inside its decoder: no program yet",
}
"""Why some well-known kinds are not described, by model_type."""


def text_part(config: Mapping[str, Any]) -> tuple[Mapping[str, Any], tuple[str, ...]]:
    """The configuration of the language model inside ``config``, and what has to be said about that; ``config`` itself
    where it is one."""
    kind = config.get("model_type")
    if kind in REFUSED:
        raise ModelError(REFUSED[kind], f"{FIELD}.model_type", sorted(TEXT_PARTS))
    if kind not in TEXT_PARTS:
        return config, ()
    usual, head = TEXT_PARTS[kind]
    named = config.get("architectures")
    if named and named != [head]:
        return View(config, over={"model_type": usual}), ()  # the text model under the whole's model_type
    inner = config.get("text_config")
    if not isinstance(inner, Mapping):
        raise ModelError(
            f"a configuration of {kind} must hold a text_config, not {shown(inner)}", f"{FIELD}.text_config"
        )
    under = {"model_type": usual}
    if "tie_word_embeddings" in config:
        under["tie_word_embeddings"] = config["tie_word_embeddings"]
    text = View(inner, under=under)
    note = f"the language model of {kind} alone: what reads pictures (vision_config) is left out, its weights too"
    return text, (note,)
