"""Checkpoints that read pictures as well: their language model is described, and what is left out is said."""

from __future__ import annotations

from typing import Any

import pytest

from memcalc.errors import ModelError
from memcalc.models import describe

GEMMA_3_4B: dict[str, Any] = {
    "architectures": ["Gemma3ForConditionalGeneration"],
    "model_type": "gemma3",
    "text_config": {
        "hidden_size": 2560, "intermediate_size": 10240, "model_type": "gemma3_text", "num_hidden_layers": 34,
        "sliding_window": 1024,
    },
    "vision_config": {"hidden_size": 1152, "num_hidden_layers": 27, "model_type": "siglip_vision_model"},
}  # fmt: skip


def test_the_language_model_inside_is_the_catalogues() -> None:
    """The published config.json of google/gemma-3-4b-it leaves out what is transformers' default."""
    found, known = describe({"config": GEMMA_3_4B}), describe("Gemma-3-4B-text")
    assert found.spec == known.spec
    assert "vision_config" in found.assumptions[0]


def test_llama_4_inside_its_whole() -> None:
    whole = {
        "architectures": ["Llama4ForConditionalGeneration"], "model_type": "llama4",
        "text_config": {
            "model_type": "llama4_text", "max_position_embeddings": 10485760, "no_rope_layers": [], "moe_layers": None,
        },
    }  # fmt: skip
    assert describe({"config": whole}).spec == describe("Llama-4-Scout").spec


@pytest.mark.parametrize(
    ("config", "field", "words"),
    [
        ({"model_type": "mllama", "text_config": {}}, "model.config.model_type", "cross-attention"),
        ({"model_type": "gemma3"}, "model.config.text_config", "text_config"),
        (GEMMA_3_4B | {"text_config": [1]}, "model.config.text_config", "text_config"),
        (GEMMA_3_4B | {"text_config": {"model_type": "no_such_kind"}}, "model.config.model_type", "no_such_kind"),
        (GEMMA_3_4B | {"architectures": ["Gemma3ForSequenceClassification"]}, "model.config.architectures", "head"),
    ],
)
def test_what_is_not_understood_is_refused_where_it_is(config: dict[str, Any], field: str, words: str) -> None:
    with pytest.raises(ModelError, match=words) as error:
        describe({"config": config})
    assert error.value.field == field
