"""The pages, run without a browser by Streamlit's AppTest."""

from __future__ import annotations

import json
import re

import pytest
from streamlit.testing.v1 import AppTest

from memcalc.hardware import LiveGpu, LiveGpus
from memcalc.hardware.sampler import Sampler
from memcalc.ui import catalogues, options

SLOW = 30  # seconds; a page takes some 20 ms, a busy machine may take longer


def page(**query: str) -> AppTest:
    """The first page, opened with a link."""
    test = AppTest.from_file("../app.py", default_timeout=SLOW)
    for name, value in query.items():
        test.query_params[name] = value
    return test.run()


def bars(test: AppTest) -> dict[str, list[float]]:
    """The chart's segments: component to sizes in GiB, one a phase."""
    (chart,) = test.get("plotly_chart")
    return {trace["name"]: trace["x"] for trace in json.loads(chart.proto.spec)["data"] if trace["type"] == "bar"}


def total(test: AppTest, phase: int) -> float:
    return sum(sizes[phase] for sizes in bars(test).values())


def headlines(test: AppTest) -> list[str]:
    """The two verdicts, training's and inference's."""
    (shown,) = [one.proto.body for one in test.get("html") if one.proto.body.startswith('<div class="mc-verdicts')]
    return [re.sub("<.*?>", "", line) for line in re.findall("<h2>(.*?)</h2>", shown)]


def warnings(test: AppTest) -> str:
    return " ".join(one.value.replace("\\", "") for one in test.warning)


def test_the_first_page_answers_at_once() -> None:
    test = page()
    assert not test.exception
    training, inference = headlines(test)
    assert "Training" in training
    assert "Inference" in inference
    # Llama-3.1-8B in bf16 with AdamW: 8.03e9 parameters × (2 + 2 + 4) B = 59.8 GiB of lasting state alone.
    assert "needs" in training
    assert bars(test)["weights"] == pytest.approx([8030261248 * 2 / 2**30] * 5, rel=0.001)
    assert bars(test)["optimizer states"][2] == pytest.approx(8030261248 * 4 / 2**30, rel=0.001)


def test_training_and_inference_share_one_axis() -> None:
    (chart,) = page().get("plotly_chart")
    figure = json.loads(chart.proto.spec)
    assert len(figure["data"][0]["x"]) == 5  # forward, backward, optimizer step; prefill, decode
    assert figure["layout"]["xaxis"]["range"][1] > max(total(page(), phase) for phase in range(5))


@pytest.mark.parametrize("precision", options.TRAINING_PRECISIONS)
@pytest.mark.parametrize("optimizer", options.OPTIMIZERS)
def test_every_precision_with_every_optimizer(precision: str, optimizer: str) -> None:
    test = page(model="gpt2", seq="256", precision=precision, optimizer=optimizer)
    assert not test.exception
    assert not test.warning
    assert len(headlines(test)) == 2
    assert total(test, 2) > 0


@pytest.mark.parametrize("precision", options.INFERENCE_PRECISIONS)
@pytest.mark.parametrize("method", options.METHODS.values())
@pytest.mark.parametrize("checkpointing", ["true", "false"])
def test_methods_and_inference_precisions(precision: str, method: str, checkpointing: str) -> None:
    test = page(infer=precision, method=method, checkpointing=checkpointing)
    assert not test.exception
    assert not test.warning
    bytes_each = 4 if precision == "fp32" else 2
    assert bars(test)["weights"][3] == pytest.approx(8030261248 * bytes_each / 2**30, rel=0.001)


@pytest.mark.parametrize("size", [options.SIZES[0], 7 * 10**9, options.SIZES[-1]])
def test_any_size(size: int) -> None:
    test = page(source="Any size", size=options.ladder(size))
    assert not test.exception
    assert not test.warning
    # A generic decoder comes near the size that was asked for, as its help says.
    assert bars(test)["weights"][3] * 2**30 / 2 == pytest.approx(size, rel=0.15)


def test_an_exact_size_wins_over_the_slider_until_it_moves() -> None:
    test = page(source="Any size", size="7B", exact="1.5B")
    assert bars(test)["weights"][3] * 2**30 / 2 == pytest.approx(1.5e9, rel=0.15)
    test.select_slider(key="size").set_value(3 * 10**9).run()
    assert test.text_input(key="exact").value == ""
    assert bars(test)["weights"][3] * 2**30 / 2 == pytest.approx(3e9, rel=0.15)


def test_an_unreadable_exact_size_is_said_at_its_control() -> None:
    test = page(source="Any size", size="7B", exact="lots")
    assert not test.exception
    assert "6.74B" in warnings(test)
    assert len(headlines(test)) == 2  # the slider's size answers meanwhile


def test_longer_sequences_need_more() -> None:
    short, long = page(seq="1024"), page(seq="4096")
    assert bars(long)["activations"][0] > 3 * bars(short)["activations"][0]
    assert bars(long)["KV cache"][3] == pytest.approx(4 * bars(short)["KV cache"][3], rel=0.01)


def test_checkpointing_shrinks_activations() -> None:
    assert bars(page(checkpointing="true"))["activations"][0] < 0.5 * bars(page())["activations"][0]


def test_a_refusal_is_said_at_the_control_and_loses_nothing() -> None:
    test = page(model="gpt2", seq="512")
    before = headlines(test)
    test.select_slider(key="seq").set_value(4096).run()  # GPT-2 has 1,024 learned positions
    assert not test.exception
    assert "1024" in warnings(test).replace(",", "")
    test.select_slider(key="seq").set_value(512).run()
    assert headlines(test) == before
    assert not test.warning


def test_without_a_card_there_is_a_size_and_no_verdict() -> None:
    test = page(gpu="No card")
    assert not test.exception
    assert all("needs" in line and "more" not in line for line in headlines(test))


def test_verdicts_follow_the_card() -> None:
    assert "fits" in headlines(page(gpu="80 GB card"))[1]
    assert "more" in headlines(page(gpu="8 GB card"))[1]


def test_a_bad_link_is_ignored_with_a_word() -> None:
    test = page(optimizer="sgdd", seq="4096", colour="red")
    assert not test.exception
    said = " ".join(one.value for one in test.info).replace("\\", "")
    assert "sgdd" in said
    assert "colour" in said
    assert test.selectbox(key="optimizer").value == "adamw"
    assert test.select_slider(key="seq").value == 4096
    test.select_slider(key="seq").set_value(2048).run()
    assert not test.info  # the word goes with the first change


def test_text_from_a_link_stays_text() -> None:
    test = page(optimizer="[x](http://evil.example) **b** <script>")
    shown = " ".join(one.value for one in test.info)
    assert "\\[x\\]\\(" in shown
    assert "\\<script\\>" in shown


def test_one_visitor_never_sees_another() -> None:
    one, other = page(seq="4096"), page()
    one.select_slider(key="batch").set_value(8).run()
    other.run()
    assert other.select_slider(key="batch").value == 1
    assert other.select_slider(key="seq").value == 2048


def test_the_chart_has_a_text_alternative_with_its_figures() -> None:
    (chart,) = page().get("plotly_chart")
    assert "Training: forward pass" in chart.proto.alt
    assert "GiB" in chart.proto.alt


GPU = LiveGpu(
    index=0,
    device="0",
    uuid="GPU-1",
    name="NVIDIA **bold** GPU",
    total=16 * 2**30,
    used=3 * 2**30,
    free=13 * 2**30,
    reserved=2**28,
    compute_capability=(8, 9),
)


def sees(monkeypatch: pytest.MonkeyPatch, reading: LiveGpus) -> None:
    """The sampler of all pages reads this from now on."""
    sampler = Sampler(lambda: reading, every=60)
    monkeypatch.setattr(catalogues, "sampler", lambda: sampler)


@pytest.fixture
def this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with one GPU of 16 GiB, 3 of them in use."""
    sees(monkeypatch, LiveGpus("575.1", (GPU,), ""))


@pytest.mark.usefixtures("this_machine")
def test_a_gpu_of_this_machine_is_shown_and_judged_by_what_is_free() -> None:
    test = page(gpu="This machine: GPU 0", model="gpt2", seq="512")
    assert not test.exception
    assert any("13.0 GiB free, 3.00 GiB used of 16.0 GiB" in one.value.replace("\\", "") for one in test.caption)
    assert any("\\*\\*bold" in one.value for one in test.markdown)  # a driver's text stays text
    assert all("fits" in line for line in headlines(test))
    (chart,) = test.get("plotly_chart")
    assert "(free now) holds 13.0 GiB beside 2.75 GiB that others hold on it" in chart.proto.alt
    # 16 GiB less the driver's 0.25 less the 13 that are free are others': a block before every bar, the line at its end
    data = json.loads(chart.proto.spec)
    assert data["data"][0]["name"] == "already on the card"
    assert set(data["data"][0]["x"]) == {2.75}
    assert {shape["x0"] for shape in data["layout"]["shapes"]} == {15.75}
    assert any(note["text"].endswith("(free now)</b>: 13.0 GiB of 15.8 GiB") for note in data["layout"]["annotations"])


def test_without_a_driver_one_calm_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    sees(monkeypatch, LiveGpus(None, (), "No NVIDIA GPU can be read here."))
    test = page(gpu="This machine: GPU 0")  # a link from a machine that had one
    assert not test.exception
    assert any("Cards from the catalogue" in one.value for one in test.caption)
    assert any("This machine" in one.value for one in test.info)
    assert test.selectbox(key="gpu").value == "16 GB card"
