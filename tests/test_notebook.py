"""The notebook runs, what it shows is what its cells print now, and its figures are right by other ways."""

from __future__ import annotations

import json
import re

import pytest

import memcalc
from memcalc import units
from tests.run_notebook import NOTEBOOK, code_cells, run, stored

LLAMA = 8_030_261_248  # parameters of Llama-3.1-8B, as published


@pytest.fixture(scope="module")
def notebook() -> dict:
    return json.loads(NOTEBOOK.read_text("utf-8"))


@pytest.fixture(scope="module")
def printed(notebook: dict) -> tuple[list[str], list[str]]:
    return run(notebook)


def line(notebook: dict, start: str) -> str:
    """The one line that the notebook shows with this beginning."""
    shown = "".join(stored(cell) for cell in code_cells(notebook))
    (found,) = [one for one in shown.splitlines() if one.startswith(start)]
    return found


def test_every_cell_prints_what_the_notebook_shows(notebook: dict, printed: tuple[list[str], list[str]]) -> None:
    assert printed[0] == [stored(cell) for cell in code_cells(notebook)]
    assert all(printed[0])


def test_it_needs_the_library_alone(printed: tuple[list[str], list[str]]) -> None:
    assert "memcalc" in printed[1]
    assert not {"streamlit", "plotly", "torch", "IPython", "memcalc.ui", "memcalc.learn"} & set(printed[1])


def test_it_is_a_notebook_that_viewers_open(notebook: dict) -> None:
    """The fields that format 4.5 requires, and a heading for each of the four lessons."""
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    names = [cell["id"] for cell in notebook["cells"]]
    assert len(names) == len(set(names))
    assert all(re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", name) for name in names)
    text = "\n".join("".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "markdown")
    assert re.findall(r"^## (\d)\.", text, re.MULTILINE) == ["1", "2", "3", "4"]


def test_sixteen_bytes_by_hand(notebook: dict) -> None:
    """4 for the weight, 4 for the gradient, 2 × 4 for Adam's averages."""
    assert line(notebook, "lasting") == f"lasting        {units.binary(LLAMA * 16):>9}  = 16.00 bytes a parameter"


def test_the_named_tensors_sum_to_the_peak(notebook: dict) -> None:
    """Summed here anew from the timeline, component by component."""
    asked = {"model": "Llama-3.1-8B", "task": "train", "precision": "bf16-mixed", "seq_len": 1024}
    sums: dict[str, int] = {}
    for one in memcalc.timeline(asked).tensors:
        sums[one.component] = sums.get(one.component, 0) + one.count * one.bytes
    shown = "".join(stored(cell) for cell in code_cells(notebook)).splitlines()
    for name, size in sums.items():
        assert f"{name:<14} {units.binary(size):>9}" in shown
    assert line(notebook, "sum") == f"sum            {units.binary(sum(sums.values())):>9}"


def test_the_saving_is_that_of_two_estimates(notebook: dict) -> None:
    train = {"model": "Llama-3.1-8B", "task": "train", "precision": "bf16-mixed", "seq_len": 1024}
    infer = {"model": "Llama-3.1-8B", "inference": {"prompt_tokens": 1024, "new_tokens": 1}}
    share = 1 - memcalc.estimate(infer).peak["device"] / memcalc.estimate(train).peak["device"]
    assert line(notebook, "AdamW, bf16-mixed").endswith(f" {100 * share:.1f} % less; neither rule is true")
    assert share > 0.7


def test_half_the_batch_is_not_half_the_memory(notebook: dict) -> None:
    asked = {"model": "gpt2", "task": "train", "precision": "bf16-mixed", "seq_len": 1024}
    half, whole = (memcalc.estimate({**asked, "batch": batch}).peak["device"] for batch in (16, 32))
    assert line(notebook, "16 instead of 32").endswith(f" {100 * half / whole:.0f} % of the memory")
    assert half > whole / 2


def test_pieces_leave_their_share_of_the_activations(notebook: dict) -> None:
    """gpt2's own activations of one text, against sixteen at once."""
    asked = {"model": "gpt2", "task": "train", "precision": "bf16-mixed", "seq_len": 1024}
    pieces = {**asked, "batch": 1, "training": {"grad_accumulation": 16}}
    kept = memcalc.estimate(pieces).component_peak["activations"]
    assert units.binary(kept) in line(notebook, "micro-batches 16 ×  1, kept")
