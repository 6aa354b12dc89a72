"""Serving runtimes: budgets, pages and buffers by hand; published logs are in test_measured.py."""

from __future__ import annotations

import math
from typing import Any

import pytest

import memcalc
from memcalc.inference.layout import layout
from memcalc.question import Question
from memcalc.runtimes.pages import Group, paged
from memcalc.units import GiB, MiB

LLAMA = "Llama-3.1-8B"
TOKEN = 32 * 2 * 8 * 128 * 2
"""Bytes of Llama-3.1-8B's cache a token, in 16 bits."""


def served(runtime: str, model: str = LLAMA, gpu: str | None = "RTX 4090", batch: int = 1, **inference: Any) -> Any:
    scenario = {"model": model, "batch": batch, "inference": {"runtime": runtime, **inference}}
    return memcalc.estimate({**scenario, "hardware": {"gpu": gpu}} if gpu else scenario)


class TestVllm:
    def test_the_budget_by_hand(self) -> None:
        """Everything that the trial run would measure is given: the rest of 90 % of what torch sees becomes pages of 16
        tokens."""
        answer = served(
            "vllm", version="0.8.5", gpu_memory_utilization=0.9, max_model_len=8192, activation_bytes=GiB,
            non_torch_bytes=GiB // 4,
        )  # fmt: skip
        fit = answer.fit
        budget = math.ceil((fit["total"] - fit["driver_keeps"]) * 0.9)
        left = budget - answer.at_peak["weights"] - GiB - GiB // 4
        assert answer.runtime["budget"] == budget
        assert answer.runtime["num_blocks"] == left // (16 * TOKEN)
        assert answer.runtime["kv_tokens"] == left // (16 * TOKEN) * 16
        assert answer.runtime["max_concurrency"] == round(left // (16 * TOKEN) * 16 / 8192, 2)
        assert answer.at_peak["kv_cache"] == left // (16 * TOKEN) * 16 * TOKEN
        assert sum(answer.at_peak.values()) == answer.peak["tensors"]

    def test_the_lines_it_would_log(self) -> None:
        answer = served("vllm", max_model_len=8192)
        tokens, many = answer.runtime["kv_tokens"], answer.runtime["max_concurrency"]
        assert f"GPU KV cache size: {tokens:,} tokens" in answer.runtime["log"]
        assert f"Maximum concurrency for 8,192 tokens per request: {many:.2f}x" in answer.runtime["log"]

    def test_graphs_are_in_the_budget_since_0_21(self) -> None:
        old = served("vllm", version="0.20", max_model_len=8192, gpu_memory_utilization=0.9).runtime
        new = served("vllm", version="0.21", max_model_len=8192, gpu_memory_utilization=0.9).runtime
        assert new["available_kv_cache"] == old["available_kv_cache"] - new["cuda_graphs"]
        assert served("vllm", max_model_len=8192, enforce_eager=True).runtime["cuda_graphs"] == 0

    def test_a_server_that_would_not_start_does_not_fit(self) -> None:
        """131,072 tokens of cache (16 GiB) beside 15 GiB of weights: more than a budget of 22 GiB."""
        assert served("vllm").fit["verdict"] == "does not fit"
        assert served("vllm", max_model_len=8192).fit["verdict"] == "fits"

    def test_the_verdict_follows_the_range(self) -> None:
        for length in (1024, 20_000, 30_000, 36_000, 50_000):
            answer = served("vllm", max_model_len=length)
            low, high = answer.range["device"]
            room = answer.fit["capacity"]
            expected = "fits" if high <= room else "does not fit" if low > room else "tight"
            assert answer.fit["verdict"] == expected

    def test_fp8_halves_a_token(self) -> None:
        assert served("vllm", kv_cache="fp8", max_model_len=8192).runtime["block_bytes"] == 8 * TOKEN

    def test_sliding_layers_have_groups_of_their_own(self) -> None:
        """Gemma-3-1B: 22 sliding layers and 4 full ones: groups of 4, six of them sliding."""
        layers = layout(Question.read({"model": "Gemma-3-1B"}).model.spec)
        pages = paged(layers, 2, 16, hybrid=True)  # type: ignore[arg-type]
        assert sorted(pages.groups, key=str) == sorted([Group(4, None)] + [Group(4, 512)] * 6, key=str)
        assert pages.block == 4 * 16 * 2 * 256 * 2
        # A sequence of 8,192 tokens: 512 pages in the full group; 511 + 2,048 tokens and one page in each other.
        assert pages.blocks(8192, 2048) == 512 + 6 * (-(-(511 + 2048) // 16) + 1)

    def test_weights_may_be_quantised(self) -> None:
        plain = served("vllm", max_model_len=8192).at_peak["weights"]
        awq = served("vllm", max_model_len=8192, weights="awq-4bit-g128").at_peak["weights"]
        gguf = served("vllm", max_model_len=8192, weights="gguf:Q4_K_M").at_peak["weights"]
        assert gguf < awq < plain / 2
        assert gguf == pytest.approx(8_030_261_248 * 4.8944 / 8, rel=1e-4)

    def test_without_a_card_the_cache_is_what_is_asked_for(self) -> None:
        answer = served("vllm", gpu=None, batch=4, max_model_len=2048, prompt_tokens=1024, new_tokens=1024)
        assert answer.at_peak["kv_cache"] == 4 * 2048 * TOKEN
        assert answer.fit is None

    @pytest.mark.parametrize(
        ("field", "value"),
        [("version", "new"), ("gpu_memory_utilization", 1.5), ("gpu_memory_utilization", 0), ("max_model_len", 0),
         ("max_num_seqs", "many"), ("activation_bytes", -1)],
    )  # fmt: skip
    def test_nonsense_names_its_field(self, field: str, value: Any) -> None:
        with pytest.raises(memcalc.ScenarioError) as caught:
            served("vllm", **{field: value})
        assert caught.value.field == f"inference.{field}"

    def test_settings_of_another_runtime_are_ignored_and_named(self) -> None:
        answer = served("vllm", max_model_len=4096, n_ctx=512)
        assert any("inference.n_ctx is ignored" in line for line in answer.assumptions)


class TestLlamaCpp:
    def test_the_cache_is_exact(self) -> None:
        for cache, size in (("same", 2), ("q8_0", 34 / 32), ("q4_0", 18 / 32), ("f32", 4)):
            answer = served("llama.cpp", n_ctx=8192, kv_cache=cache, weights="gguf:Q4_K_M")
            assert answer.runtime["kv_buffer"] == 8192 * 32 * 2 * 8 * 128 * size

    def test_cells_are_rounded_up_for_each_sequence(self) -> None:
        assert served("llama.cpp", n_ctx=1000, weights="gguf:Q4_0").runtime["kv_tokens"] == 1024
        assert served("llama.cpp", n_ctx=1000, parallel=3, weights="gguf:Q4_0").runtime["kv_tokens"] == 3 * 512

    def test_layers_on_the_card(self) -> None:
        """Of 33 layers (32 blocks and the output) 17 on the card: the output and the last 16 blocks."""
        whole = served("llama.cpp", n_ctx=4096, gpu_layers=33, weights="gguf:Q8_0").runtime
        half = served("llama.cpp", n_ctx=4096, gpu_layers=17, weights="gguf:Q8_0").runtime
        none = served("llama.cpp", n_ctx=4096, gpu_layers=0, weights="gguf:Q8_0").runtime
        assert half["kv_buffer"] == whole["kv_buffer"] // 2 == half["cpu_kv_buffer"]
        output = 128256 * 4096 * 34 // 32
        assert half["model_buffer"] - output == pytest.approx((whole["model_buffer"] - output) / 2, rel=1e-4)
        assert none["model_buffer"] == none["kv_buffer"] == none["compute_buffer"] == 0

    def test_a_tied_head_is_copied_to_the_card(self) -> None:
        answer = served("llama.cpp", "Llama-3.2-1B", n_ctx=512, weights="gguf:Q8_0").runtime
        table = 128256 * 2048 * 34 // 32
        assert answer["cpu_model_buffer"] == table
        assert answer["model_buffer"] > table

    def test_scores_without_flash_attention(self) -> None:
        """32 heads × 8,192 cells × 512 tokens in fp32 are 512 MiB; the published buffer has 560."""
        buffer = served("llama.cpp", n_ctx=8192, flash_attention=False, weights="gguf:Q4_K_M").runtime["compute_buffer"]
        assert buffer == pytest.approx(560 * MiB, rel=0.1)
        with_flash = served("llama.cpp", n_ctx=8192, weights="gguf:Q4_K_M").runtime["compute_buffer"]
        assert with_flash < buffer / 2

    def test_sliding_layers_keep_a_window(self) -> None:
        """Gemma-3-1B, one head of 256: 4 full layers of 32,768 cells; 22 of 512 + 512 tokens, already a multiple of
        256."""
        found = served("llama.cpp", "Gemma-3-1B", n_ctx=32768, weights="gguf:Q8_0").runtime["kv_buffer"]
        assert found == 2 * 256 * 2 * (4 * 32768 + 22 * 1024)

    def test_the_automatic_fit_shrinks_the_context_then_the_layers(self) -> None:
        """What was not given is reduced until a GiB stays free on the card."""
        roomy = served("llama.cpp", gpu="RTX 4060", weights="gguf:Q4_K_M").runtime
        assert 4096 <= roomy["n_ctx"] < 131072
        assert roomy["gpu_layers"] == 33
        tight = served("llama.cpp", gpu="RTX 4060", weights="gguf:Q8_0").runtime
        assert tight["n_ctx"] == 4096
        assert 0 < tight["gpu_layers"] < 33
        given = served("llama.cpp", gpu="RTX 4060", weights="gguf:Q8_0", n_ctx=8192, gpu_layers=33)
        assert given.runtime["n_ctx"] == 8192
        assert given.fit["verdict"] == "does not fit"

    def test_the_fit_fits(self) -> None:
        for mixture in ("Q2_K", "Q4_K_M", "Q8_0"):
            answer = served("llama.cpp", gpu="RTX 4060", weights=f"gguf:{mixture}")
            assert answer.fit["verdict"] == "fits"
            assert answer.fit["headroom"] >= GiB

    def test_ollamas_default_context_follows_the_card(self) -> None:
        for gpu, tokens in (("RTX 4060", 4096), ("RTX 4090", 32768), ("H100 80GB", 131072)):
            answer = served("ollama", gpu=gpu, weights="gguf:Q4_K_M")
            assert answer.runtime["n_ctx"] == tokens  # 262,144 on the largest, but the model ends at 131,072

    def test_a_family_that_it_lacks_is_refused(self) -> None:
        with pytest.raises(memcalc.ScenarioError) as caught:
            served("llama.cpp", "opt-125m")
        assert caught.value.field == "inference.runtime"


@pytest.mark.parametrize("runtime", ["vllm", "llama.cpp", "ollama", "sglang", "tensorrt-llm"])
class TestAll:
    def test_the_answer_is_whole(self, runtime: str) -> None:
        answer = served(runtime)
        assert sum(answer.at_peak.values()) == answer.peak["tensors"]
        assert [one["name"] for one in answer.phases] == ["load", "prefill", "decode"]
        assert answer.runtime["name"] == runtime
        assert answer.runtime["kv_bytes_per_token"] == TOKEN
        low, high = answer.range["device"]
        assert low <= answer.peak["device"] <= high
        assert answer.as_dict()["runtime"] == answer.runtime

    def test_asked_again_as_understood_it_answers_the_same(self, runtime: str) -> None:
        answer = served(runtime, batch=2)
        again = memcalc.estimate(answer.scenario)
        assert again.peak == answer.peak
        assert again.fit == answer.fit

    def test_names_sum_to_the_peak(self, runtime: str) -> None:
        scenario = {"model": LLAMA, "inference": {"runtime": runtime}, "hardware": {"gpu": "RTX 4090"}}
        found = memcalc.timeline(scenario)
        assert sum(one.total for one in found.tensors) == memcalc.estimate(scenario).peak["tensors"]

    def test_a_sweep_agrees_with_single_estimates(self, runtime: str) -> None:
        scenario = {
            "model": LLAMA,
            "inference": {"runtime": runtime, "new_tokens": 16},
            "hardware": {"gpu": "RTX 4090"},
        }
        grid = memcalc.sweep(scenario, batch=[1, 8], prompt_tokens=[128, 4096])
        for i, batch in enumerate((1, 8)):
            for j, prompt in enumerate((128, 4096)):
                point = {**scenario, "batch": batch, "inference": {**scenario["inference"], "prompt_tokens": prompt}}  # type: ignore[dict-item]
                answer = memcalc.estimate(point)
                assert grid.device[i, j] == answer.peak["device"]
                assert [grid.device_low[i, j], grid.device_high[i, j]] == answer.range["device"]

    def test_a_model_known_by_its_size_is_served_too(self, runtime: str) -> None:
        answer = served(runtime, {"parameters": 3e9})  # type: ignore[arg-type]
        assert answer.fit["verdict"] == "fits"
