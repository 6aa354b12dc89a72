"""Encoder-decoders on the pages: a length of its own for what the decoder writes, two caches told apart."""

from __future__ import annotations

from typing import Any

import pytest
from opened import bars, html, opened

import memcalc
from memcalc import units
from memcalc.inference.room import curves
from memcalc.models import packed, portable
from memcalc.ui import inference_more

PAGES = ("fit", "training", "inference", "timeline", "batch", "advise", "sweep", "cards", "run")
OWN: dict[str, Any] = portable.carried(
    {
        "config": {
            "architectures": ["T5ForConditionalGeneration"], "model_type": "t5", "vocab_size": 32128, "d_model": 512,
            "d_kv": 64, "d_ff": 1024, "num_layers": 8, "num_decoder_layers": 4, "num_heads": 6,
            "feed_forward_proj": "gated-gelu", "tie_word_embeddings": False, "torch_dtype": "float32",
        },
        "name": "Half-a-decoder",
    }
)  # fmt: skip


def page(name: str, **query: str) -> Any:
    test = opened(f"pages/views/{name}.py", **query)
    assert not test.exception
    return test


def warnings(test: Any) -> str:
    return " ".join(one.value for one in test.warning).replace("\\", "")


@pytest.mark.parametrize(
    ("name", "model"),
    [*((name, "whisper-small") for name in PAGES), ("inference", "bart-base"), ("batch", "bart-base")],
)
def test_every_page_takes_an_encoder_decoder(name: str, model: str) -> None:
    page(name, model=model, gpu="24 GB card")


def test_the_target_is_a_control_of_training_where_there_is_a_decoder_beside_an_encoder() -> None:
    def has(model: str) -> tuple[bool, bool]:
        keys = [one.key for one in page("training", model=model).select_slider]
        return "target" in keys, "seq" in keys

    assert has("t5-base") == (True, True)
    assert has("whisper-small") == (True, False)
    assert has("gpt2") == (False, True)


def test_the_target_reaches_the_estimate() -> None:
    asked = {"model": "t5-base", "task": "train", "seq_len": 512, "target_len": 512}
    shown = bars(page("training", model="t5-base", seq="512", target="512"))
    # The second step's backward pass, where the peak is.
    expected = memcalc.estimate(asked).at_peak["activations"]
    assert any(abs(size - units.gib(expected)) < 1e-6 for size in shown["activations"])


def test_what_whisper_makes_of_lengths_is_said() -> None:
    assert "always has 1,500 positions" in warnings(page("fit", model="whisper-small"))
    assert "always has 1,500 positions" in warnings(page("inference", model="whisper-small"))


def test_more_than_the_decoder_has_positions_for_is_said_at_the_control() -> None:
    assert "positions for 448 tokens, 512 are asked for" in warnings(
        page("training", model="whisper-tiny", target="512")
    )


def test_the_inference_page_tells_the_two_caches_apart() -> None:
    """whisper-small in bf16: 12 layers × 2 × 768 values × 2 B = 36 KiB for each token and each position."""
    said = " ".join(
        html(page("inference", model="whisper-small", new="128", gpu="24 GB card"), '<dl class="mc-facts').split()
    )
    assert "Self cache per token 36.0 KiB" in said
    assert "Cross cache per token 36.0 KiB" in said
    assert "Self cache per sequence 4.50 MiB at its 128 tokens written" in said
    assert "Cross cache per sequence 52.7 MiB of 1,500 positions of the encoder" in said
    assert "Sequences that fit" in said
    assert "tokens that fit" not in said


def test_the_curve_starts_at_what_the_encoder_said() -> None:
    asked = {"model": "t5-base", "task": "infer", "batch": 3, "hardware": {"gpu": "24GB"},
             "inference": {"prompt_tokens": 512, "new_tokens": 64}}  # fmt: skip
    found = curves(asked, memcalc.estimate(asked).as_dict())
    assert found is not None
    one = 12 * 2 * 12 * 64 * 2  # 12 layers, keys and values, 12 heads × 64, bf16
    at = dict(zip(found.lengths, found.by_length, strict=True))
    assert at[64] == 3 * one * (512 + 64)
    assert max(at.values()) - min(at.values()) == 3 * one * (max(at) - min(at))
    assert "64 tokens written beside 512 of the encoder" in inference_more.context_words(found, "card")


def test_a_brought_t5_is_taken_with_its_own_head() -> None:
    """T5 1.1 small (76,961,152 parameters) with half of its decoder's eight layers."""
    test = page("training", own=packed.pack(OWN), model="Half-a-decoder", seq="256")
    assert "target" in [one.key for one in test.select_slider]
    attention, cross, feed, norms = 4 * 512 * 384, 4 * 512 * 384, 3 * 512 * 1024, 3 * 512
    layer = attention + cross + feed + norms
    found = memcalc.estimate({"model": OWN, "task": "train", "seq_len": 256})
    assert found.parameters["total"] == 76_961_152 - 4 * layer
