"""The KV cache in transformers: quantised, fp8 and static caches, beams; bytes by hand."""

from __future__ import annotations

from typing import Any

import pytest

import memcalc
from memcalc.architectures.spec import State
from memcalc.formats import Format
from memcalc.inference.layout import CacheLayer, layout, state_bytes, values_per_sequence
from memcalc.models import describe
from memcalc.question import Question

LLAMA = "Llama-3.1-8B"
VALUES = 32 * 2 * 8 * 128
"""Values a token: layers, keys and values, heads, values a head."""


def run(model: str = LLAMA, **inference: Any) -> memcalc.Estimate:
    return memcalc.estimate({"model": model, "inference": {"prompt_tokens": 1024, "new_tokens": 65, **inference}})


def test_bytes_a_token_and_a_sequence() -> None:
    found = run().runtime
    assert found is not None
    assert found["kv_bytes_per_token"] == VALUES * 2
    assert found["kv_bytes_per_sequence"] == VALUES * 2 * (1024 + 64)  # the last new token is not read back


@pytest.mark.parametrize(("cache", "size"), [("fp8", 1.0), ("int8", 1.0625), ("int4", 0.5625)])
def test_the_prompt_is_stored_in_the_format(cache: str, size: float) -> None:
    """16-bit scale and zero point for each 64 values: a sixteenth of a byte a value."""
    (prefill,) = [one for one in run(kv_cache=cache, new_tokens=1).phases if one["name"] == "prefill"]
    assert prefill["at_peak"]["kv_cache"] <= VALUES * 1024 * size
    answer = run(kv_cache=cache)
    assert answer.runtime is not None
    assert answer.runtime["kv_bytes_per_token"] == VALUES * size


def test_the_newest_tokens_stay_unquantised_until_there_are_128() -> None:
    """At the 64th step 63 new tokens lie beside 1,024 quantised ones, and the step's own joins them."""

    def held(new_tokens: int) -> int:
        return run(kv_cache="int4", new_tokens=new_tokens).component_peak["kv_cache"]

    packed = VALUES * 1024 * 9 // 16
    assert held(65) == pytest.approx(packed + VALUES * 2 * 64, rel=0.02)
    # After 128 more tokens everything is quantised again.
    assert held(131) == pytest.approx(VALUES * (1024 + 128) * 9 // 16 + VALUES * 2 * 2, rel=0.02)


def test_a_quantised_layer_is_made_whole_for_each_step() -> None:
    """Dequantised keys and values and the joined ones: four tensors of one layer, in bf16."""
    answer = run(kv_cache="int4", prompt_tokens=100_000, new_tokens=3)
    (decode,) = [one for one in answer.phases if one["name"] == "decode"]
    assert decode["at_peak"]["temporary"] >= 4 * 8 * 128 * 100_000 * 2


def test_a_static_cache_is_there_at_once() -> None:
    answer = run(kv_cache="static")
    levels = {one["name"]: one["at_peak"]["kv_cache"] for one in answer.phases}
    assert levels["prefill"] == levels["decode"] == VALUES * 2 * (1024 + 64)


def test_beams_multiply_the_sequences() -> None:
    assert run(beams=4).component_peak["kv_cache"] == run().component_peak["kv_cache"] * 4
    batch = memcalc.estimate({"model": LLAMA, "batch": 4, "inference": {"prompt_tokens": 1024, "new_tokens": 65}})
    more = run(beams=4).peak["tensors"] - batch.peak["tensors"]
    assert 0 <= more <= 3 * 4 * 128256 * 4  # beam search's own scores: three fp32 tensors over the vocabulary


def test_a_sweep_agrees_with_single_estimates() -> None:
    for cache in ("int4", "fp8", "static"):
        asked = {"model": "gpt2", "inference": {"kv_cache": cache, "prompt_tokens": 32, "new_tokens": 200, "beams": 2}}
        grid = memcalc.sweep(asked, batch=[1, 3], prompt_tokens=[1, 40, 500])
        for i, batch in enumerate((1, 3)):
            for j, prompt in enumerate((1, 40, 500)):
                point = {**asked, "batch": batch, "inference": {**asked["inference"], "prompt_tokens": prompt}}  # type: ignore[dict-item]
                assert grid.tensors[i, j] == memcalc.estimate(point).peak["tensors"]


def test_the_layout_knows_windows() -> None:
    layers = layout(Question.read({"model": "Gemma-3-1B"}).model.spec)
    assert [one.window for one in layers[:6]] == [512] * 5 + [None]
    # 26 layers, four of them full; one head of 256 values, keys and values.
    assert values_per_sequence(layers, 8192) == 2 * 256 * (4 * 8192 + 22 * 512)


def test_other_kinds_of_layer_describe_themselves() -> None:
    latent = CacheLayer("latent", 1, 512 + 64, 0)  # DeepSeek-V3: 576 values a token
    # Qwen3-Next's gated delta net: 8,192 channels of a convolution, 32 heads of 128 × 128, in 16 and 32 bits
    state = CacheLayer(
        "recurrent", states=(State("convolution", (8192, 4)), State("recurrent", (32, 128, 128), Format.FP32))
    )
    assert values_per_sequence([latent, state], 10) == 5760
    assert state_bytes([latent, state], 2) == 8192 * 4 * 2 + 524_288 * 4
    assert values_per_sequence([CacheLayer("shared", 8, 128, 128), CacheLayer("cross", 8, 64, 64, 1500)], 7) == (
        1500 * 8 * 128
    )


def test_layers_that_share_keep_nothing_of_their_own() -> None:
    """Gemma 3n E4B: of 35 layers the last 15 read earlier ones' keys and values. Of the first 20 every fifth attends to
    everything, the others to 512 tokens; 2 heads of 256, keys and values."""
    layers = layout(describe("Gemma-3n-E4B-text").spec)
    assert [one.kind for one in layers].count("shared") == 15
    assert values_per_sequence(layers, 4096) == (4 * 4096 + 16 * 512) * 2 * 2 * 256


def test_chunks_of_llama_4_are_kept_like_windows() -> None:
    """Scout: of 48 layers every fourth keeps all tokens, the others 8,192; 8 heads of 128, keys and values."""
    layers = layout(describe("Llama-4-Scout").spec)
    assert values_per_sequence(layers, 20_000) == (12 * 20_000 + 36 * 8192) * 2 * 8 * 128


def test_a_cache_that_a_runtime_lacks_is_refused() -> None:
    with pytest.raises(memcalc.ScenarioError) as caught:
        run(kv_cache="q4_0")
    assert caught.value.field == "inference.kv_cache"
    assert caught.value.choices == ["same", "fp8", "int8", "int4", "static"]
