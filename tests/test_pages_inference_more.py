"""The Inference page's second half: runtimes, the table of quantisations, curves, what to type."""

from __future__ import annotations

import json
import re
import shlex
from typing import Any

import plotly.graph_objects as go
import pytest
from opened import opened
from streamlit.testing.v1 import AppTest

import memcalc
from memcalc.inference.room import by_format, curves
from memcalc.runtimes.command import command, note
from memcalc.ui import inference_more, inference_settings, ledger

LLAMA: dict[str, Any] = {"model": "Llama-3.1-8B", "task": "infer", "hardware": {"gpu": "24GB"}}


def page(**query: str) -> AppTest:
    """The page, opened with a link."""
    return opened("pages/views/inference.py", **query)


def answer(scenario: dict[str, Any], **inference: Any) -> dict[str, Any]:
    return memcalc.estimate({**scenario, "inference": inference}).as_dict()


def words(test: AppTest) -> str:
    return re.sub("<.*?>", " ", " ".join(one.proto.body for one in test.get("html")))


def test_a_server_says_how_many_users_fit() -> None:
    test = page(model="Llama-3.1-8B", gpu="24 GB card", runtime="vllm", longest="8192")
    assert not test.exception
    assert not test.warning
    said = words(test)
    found = memcalc.estimate({**LLAMA, "inference": {"runtime": "vllm", "max_model_len": 8192}}).runtime
    assert found is not None
    assert f"{found['kv_tokens']:,}" in said
    assert f"Users that fit {found['sequences']:,}" in " ".join(said.split())
    assert test.code[0].value.startswith("vllm serve meta-llama/Llama-3.1-8B")


def test_llama_cpp_takes_a_gguf_file() -> None:
    test = page(model="Llama-3.1-8B", gpu="8 GB card", runtime="llama.cpp")
    assert not test.exception
    assert test.selectbox(key="gguf").value == "Q4_K_M"
    assert not any(one.key in ("weights", "attention", "mask", "longest") for one in [*test.selectbox, *test.toggle])
    assert "33 of 33" in words(test)
    assert "-Q4_K_M.gguf -c 8192 -np 1 -ngl 33" in test.code[0].value
    assert "CUDA0 model buffer size = 4403.49 MiB" in test.code[1].value


def test_changing_the_runtime_keeps_the_rest() -> None:
    test = page(model="Llama-3.1-8B", gpu="24 GB card", weights="nf4", new="512")
    test.selectbox(key="runtime").set_value("llama.cpp").run()
    assert not test.exception
    assert not test.warning
    test.selectbox(key="runtime").set_value("transformers").run()
    assert test.select_slider(key="new").value == 512
    assert not test.exception


@pytest.mark.parametrize("runtime", ["transformers", "vllm", "llama.cpp", "sglang"])
def test_every_offered_format_is_in_the_table(runtime: str) -> None:
    formats = inference_settings.FILES if runtime == "llama.cpp" else inference_settings.WEIGHTS
    more = {"max_model_len": 8192} if runtime == "vllm" else {"n_ctx": 8192} if runtime == "llama.cpp" else {}
    found = by_format({**LLAMA, "inference": {"runtime": runtime, **more}}, formats)
    assert [one.weights for one in found] == list(formats)
    shown = inference_more.table(found)
    assert len({len(column) for column in shown.values()}) == 1
    for one in found:
        scenario = {**LLAMA, "inference": {"runtime": runtime, "weights": one.weights, **more}}
        estimate = memcalc.estimate(scenario)
        assert estimate.fit is not None
        assert (one.device, one.verdict, one.headroom) == (
            estimate.peak["device"], estimate.fit["verdict"], estimate.fit["headroom"],
        )  # fmt: skip


def test_the_context_that_is_left_fits_and_much_more_does_not() -> None:
    (row,) = by_format(LLAMA, ["same"])
    assert row.tokens is not None

    def verdict(tokens: float) -> str:
        prompt = int(tokens)
        return memcalc.estimate({**LLAMA, "inference": {"prompt_tokens": prompt}}).fit["verdict"]  # type: ignore[index]

    assert verdict(row.tokens * 0.99) == "fits"
    assert verdict(row.tokens * 1.05) != "fits"


def test_the_curves_are_the_cache() -> None:
    """Llama-3.1-8B: 128 KiB a token; four sequences of 2,048 + 128 tokens."""
    scenario = {**LLAMA, "batch": 4}
    found = curves(scenario, memcalc.estimate(scenario).as_dict())
    assert found is not None
    assert found.by_length[found.lengths.index(2176)] == 4 * 2176 * 131072
    assert found.by_count[found.counts.index(1)] == 2176 * 131072
    assert found.lengths[-1] == 131072
    assert found.room is not None
    assert found.room > 4 * 2176 * 131072


def test_without_any_room_the_whole_curve_stays_in_sight() -> None:
    """Weights alone are more than a card of 8 GB holds: 128 KiB a token at 131,072 tokens are 16 GiB."""
    scenario = {**LLAMA, "hardware": {"gpu": "8GB"}}
    found = curves(scenario, memcalc.estimate(scenario).as_dict())
    assert found is not None
    assert found.room == 0
    assert inference_more.figure(found, "context", "8 GB card")["layout"]["yaxis"]["range"][1] > 16
    assert inference_more.context_words(found, "8 GB card").endswith("The 8 GB card has no room for a cache.")


def test_a_window_bends_the_curve() -> None:
    scenario = {**LLAMA, "model": "Gemma-3-1B"}
    found = curves(scenario, memcalc.estimate(scenario).as_dict())
    assert found is not None
    # 22 of 26 layers stop at 512 tokens: from there on 4 layers of 2 × 256 values in 2 bytes.
    (one, two) = [(x, y) for x, y in zip(found.lengths, found.by_length, strict=True) if x > 4096][:2]
    assert (two[1] - one[1]) == (two[0] - one[0]) * 4 * 2 * 256 * 2


def test_the_figures_are_right_for_plotly() -> None:
    estimate = memcalc.estimate(LLAMA).as_dict()
    found = curves(LLAMA, estimate)
    assert found is not None
    for which in ("context", "sequences"):
        go.Figure(inference_more.figure(found, which, "24 GB card"))
    said = inference_more.context_words(found, "24 GB card")
    end = int(re.search(r"up to ([\d,]+) tokens", said)[1].replace(",", ""))  # type: ignore[index]
    assert end * 131072 <= found.room < (end + 2) * 131072  # type: ignore[operator]


def test_opened_the_table_and_the_curves_are_drawn() -> None:
    test = page(model="Qwen2.5-0.5B", gpu="8 GB card")
    test.session_state["quantisations"] = True
    test.session_state["cache-curves"] = True
    test.run()
    assert not test.exception
    assert any("Context, about" in one.value for one in test.dataframe)
    assert len(test.get("plotly_chart")) == 3


@pytest.mark.parametrize("runtime", ["vllm", "llama.cpp", "ollama", "sglang", "tensorrt-llm"])
def test_what_to_type_is_one_safe_line(runtime: str) -> None:
    settled = answer(LLAMA, runtime=runtime)["scenario"]
    said = command(settled, "org/na me; rm -rf ~")
    assert said is not None
    assert "\n" not in said
    words_ = shlex.split(said.replace("  # then: ", " "))
    assert not {";", "rm", "~", "-rf"} & set(words_)  # quoted: it stays one word


def test_what_to_type_says_the_settings() -> None:
    settled = answer(LLAMA, runtime="vllm", max_model_len=4096, kv_cache="fp8", weights="nf4")["scenario"]
    said = shlex.split(command(settled, "meta-llama/Llama-3.1-8B") or "")
    assert said[said.index("--max-model-len") + 1] == "4096"
    assert said[said.index("--kv-cache-dtype") + 1] == "fp8"
    assert said[said.index("--quantization") + 1] == "bitsandbytes"
    settled = answer(LLAMA, runtime="ollama", weights="gguf:Q4_K_M", n_ctx=8192, parallel=2)["scenario"]
    assert (command(settled, "x/y") or "").startswith("OLLAMA_CONTEXT_LENGTH=8192 OLLAMA_NUM_PARALLEL=2 ollama serve")
    assert command(answer(LLAMA)["scenario"], "x/y") is None
    assert "awq-4bit-g128" in note(answer(LLAMA, runtime="vllm", weights="awq-4bit-g128")["scenario"])


def test_the_lines_of_a_server_are_true() -> None:
    run = ledger.run("Inference", answer(LLAMA, runtime="vllm", max_model_len=8192))
    from memcalc.ui.formulas import formula

    report = run.estimate["runtime"]
    assert formula(run, run.peak, "kv_cache") == f"{report['kv_tokens']:,} tokens of room × 128 KiB"
    assert "CUDA graphs" in formula(run, run.peak, "overhead")
    assert json.dumps(run.estimate)
