"""The parts of the interface that need no Streamlit: words, bars, figures, formulas, colours, links."""

from __future__ import annotations

import itertools
from typing import Any

import plotly.graph_objects
import pytest

from memcalc import units
from memcalc.ui import colours, figures, formulas, ledger, links, markup, options, words
from memcalc.ui.state import Settings

GiB = 2**30
NOTHING = dict.fromkeys(colours.COMPONENTS, 0)


def estimate(verdict: str = "does not fit", headroom: int = -2 * GiB) -> dict[str, Any]:
    """A training estimate with round numbers: 1 Gi parameters in bf16, Adam in bf16."""
    forward = {**NOTHING, "weights": 2 * GiB, "optimizer": 4 * GiB, "activations": 1 * GiB}
    step = {**NOTHING, "weights": 2 * GiB, "gradients": 2 * GiB, "optimizer": 4 * GiB}
    return {
        "scenario": {"task": "train", "batch": 2, "seq_len": 512},
        "parameters": {"total": GiB, "trainable": GiB},
        "peak": {"tensors": 8 * GiB, "device": 10 * GiB},
        "range": {"device": [9 * GiB, 11 * GiB]},
        "component_peak": {**NOTHING, **forward, **step},
        "phases": [
            {"name": "load", "step": 1, "tensors": 2 * GiB, "at_peak": {**NOTHING, "weights": 2 * GiB}},
            {"name": "forward", "step": 1, "tensors": 3 * GiB, "at_peak": {**forward, "optimizer": 0}},
            {"name": "forward", "step": 2, "tensors": 7 * GiB, "at_peak": forward},
            {"name": "optimizer", "step": 1, "tensors": 8 * GiB, "at_peak": step},
        ],
        "overhead": {"workspace": GiB // 2, "context": GiB, "cache": GiB // 2, "communication": 0},
        "fit": {"gpu": "card", "capacity": 8 * GiB, "verdict": verdict, "headroom": headroom},
    }


def test_a_phase_of_several_steps_is_shown_at_its_largest() -> None:
    forward, step = ledger.bars(estimate())
    assert forward.parts["optimizer"] == 4 * GiB
    assert (forward.highest, step.highest) == (False, True)
    assert step.total == 10 * GiB  # what the driver shows: tensors and overhead
    assert step.parts["overhead"] == 2 * GiB


def test_formulas_multiply_out_to_their_segment() -> None:
    run = ledger.run("Training", estimate())
    assert formulas.formula(run, run.peak, "optimizer") == "1,073,741,824 trained parameters × 4 B"
    assert formulas.formula(run, run.bars[0], "activations") == "1,024 tokens × 1.00 MiB"
    assert formulas.formula(run, run.bars[0], "weights") == "1,073,741,824 parameters × 2 B"
    assert "CUDA context 1.00 GiB" in formulas.formula(run, run.peak, "overhead")


@pytest.mark.parametrize(
    ("verdict", "headroom", "words_of_it"),
    [
        ("fits", 2 * GiB, "fits, with 2.00 GiB to spare"),
        ("does not fit", -2 * GiB, "needs 2.00 GiB more"),
        ("tight", GiB // 2, "is tight: only 512 MiB to spare"),
        ("tight", -GiB // 2, "is tight: 512 MiB over, give or take"),
    ],
)
def test_verdicts_in_words(verdict: str, headroom: int, words_of_it: str) -> None:
    said = words.verdict(ledger.run("Training", estimate(verdict, headroom)), "card")
    assert said.headline == words_of_it
    assert "10.0 GiB (9.00 to 11.0 GiB)" in said.detail


def test_the_axis_holds_the_bars_their_range_and_the_card() -> None:
    run = ledger.run("Training", estimate())
    assert figures.phase_bars([run], "card", 8 * GiB)["layout"]["xaxis"]["range"][1] >= 11
    assert figures.phase_bars([run], "card", 40 * GiB)["layout"]["xaxis"]["range"][1] >= 40
    assert figures.phase_bars([run])["layout"]["shapes"] == []


def test_a_name_steps_aside_where_the_cards_line_would_strike_it_through() -> None:
    # Optimizer states lie from 2 to 6 GiB in forward and from 4 to 8 in the step; the axis ends near 11.
    def place(capacity: int) -> str:
        data = figures.phase_bars([ledger.run("Training", estimate())], "card", capacity)["data"]
        return next(str(one["insidetextanchor"]) for one in data if one["name"] == "optimizer states")

    assert place(7 * GiB // 2) == "end"
    assert place(13 * GiB // 2) == "start"
    assert place(9 * GiB) == "middle"


def test_the_chart_is_right_in_plotlys_own_eyes() -> None:
    # The page hands the dictionary on unchecked, to save time at each movement of a slider.
    figure = figures.phase_bars([ledger.run("Training", estimate())], "card", 8 * GiB)
    assert plotly.graph_objects.Figure(figure).to_plotly_json()["data"][0]["x"] is not None
    with pytest.raises(ValueError, match="bogus"):
        plotly.graph_objects.Figure({**figure, "layout": {**figure["layout"], "bogus": 1}})


def test_names_from_outside_stay_text_in_the_chart() -> None:
    figure = figures.phase_bars([ledger.run("Training", estimate())], "<a href='x'>", 8 * GiB)
    assert not any("<a href" in note["text"] for note in figure["layout"]["annotations"])


@pytest.mark.parametrize("text", ["**b**", "[a](b)", "`c`", "$x$", ":red[x]", "<i>", "# h", "1. x", "a_b_", "![i](u)"])
def test_plain_text_is_inert_in_markdown(text: str) -> None:
    escaped = words.plain(text)
    marks = {index for index, letter in enumerate(escaped) if letter in "*[]()`$:<>#_!."}
    assert all(escaped[index - 1] == "\\" for index in marks)


# --- colours --------------------------------------------------------------------------------------

#: Machado, Oliveira, Fernandes (2009), severity 1.0, on linear RGB.
SIGHT = {
    "normal": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "protan": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "deutan": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)),
    "tritan": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.303900)),
}


def lab(colour: str, sight: str) -> tuple[float, float, float]:
    """CIELAB (D65) of ``#RRGGBB`` as somebody with that sight sees it."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    red, green, blue = (
        min(1.0, max(0.0, sum(a * b for a, b in zip(row, linear, strict=True)))) for row in SIGHT[sight]
    )
    white = (0.95047, 1.0, 1.08883)
    xyz = (
        0.4124564 * red + 0.3575761 * green + 0.1804375 * blue,
        0.2126729 * red + 0.7151522 * green + 0.0721750 * blue,
        0.0193339 * red + 0.1191920 * green + 0.9503041 * blue,
    )
    x, y, z = (
        t ** (1 / 3) if t > 216 / 24389 else (24389 / 27 * t + 16) / 116
        for t in (value / unit for value, unit in zip(xyz, white, strict=True))
    )
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


@pytest.mark.parametrize("sight", SIGHT)
def test_any_two_colours_can_be_told_apart(sight: str) -> None:
    for one, other in itertools.combinations(colours.COLOURS.values(), 2):
        distance = sum((a - b) ** 2 for a, b in zip(lab(one, sight), lab(other, sight), strict=True)) ** 0.5
        # Gradients and optimizer states never touch the KV cache; all others may.
        assert distance > (20 if colours.COLOURS["kv_cache"] in (one, other) else 28), (one, other)


@pytest.mark.parametrize("part", colours.COLOURS)
def test_names_in_segments_have_enough_contrast(part: str) -> None:
    assert colours.contrast(colours.ink(colours.COLOURS[part]), colours.COLOURS[part]) >= 4.5


@pytest.mark.parametrize("background", ["#FFFFFF", "#0E1319"])
def test_lines_show_in_both_themes(background: str) -> None:
    assert colours.contrast(colours.LINE, background) >= 3


# --- choices and links ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "size"),
    [("6.74B", 6_740_000_000), ("350m", 350_000_000), ("8,030,261,248", 8_030_261_248), (" 2T ", 2 * 10**12)],
)
def test_sizes_are_read(text: str, size: int) -> None:
    assert options.parse_size(text) == size


@pytest.mark.parametrize("text", ["", "-1", "nan", "inf", "1e999", "0", "7 billions", "B", "9" * 400])
def test_sizes_that_make_no_sense_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"number|Between"):
        options.parse_size(text)


def test_the_ladder_spans_10m_to_2t_with_names_that_differ() -> None:
    names = [options.ladder(size) for size in options.SIZES]
    assert (names[0], names[-1]) == ("10M", "2T")
    assert len(set(names)) == len(names)
    assert [options.parse_size(name) for name in names] == list(options.SIZES)


def test_links_are_checked() -> None:
    allowed = {"seq": ["1024"], "exact": None}
    assert links.complaints({"seq": "1024", "exact": "anything"}, allowed) == []
    said = links.complaints({"seq": "1025", "other": "1"}, allowed)
    assert len(said) == 2
    assert "1025" in said[0]
    assert len(links.complaints({"x" * 5000: "y"}, allowed)[0]) < 100


def test_settings_make_the_scenarios_of_the_contract() -> None:
    settings = Settings(model=7_000_000_000, gpu=None, checkpointing=True, method="lora")
    training = settings.training()
    assert training["model"] == {"parameters": 7_000_000_000}
    assert "hardware" not in training
    assert training["training"] == {"method": "lora", "optimizer": "adamw", "checkpointing": "full"}
    assert settings.inference()["inference"] == {"prompt_tokens": 2048, "new_tokens": 128}


@pytest.mark.parametrize(
    ("size", "shown"),
    [
        (1002 * 2**20, "0.979 GiB"),  # 1002 / 1024 = 0.9785
        (999 * 2**20, "999 MiB"),
        (1023 * 2**20, "0.999 GiB"),
        (2**30, "1.00 GiB"),
        (16 * 2**30, "16.0 GiB"),
        (1000 * 2**30, "0.977 TiB"),
        (1000, "1,000 B"),  # exact: no rounding to do
    ],
)
def test_sizes_have_three_significant_digits(size: int, shown: str) -> None:
    assert units.binary(size) == shown


def test_a_size_in_a_table_has_gb_on_hover() -> None:
    assert markup.size(16 * 2**30) == '<span title="17.2 GB">16.0 GiB</span>'
