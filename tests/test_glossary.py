"""The glossary: each term once, in one sentence; what pages speak of is there; its figures are what memcalc says."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import pytest
from opened import opened
from streamlit.testing.v1 import AppTest

import memcalc
from memcalc import units
from memcalc.learn.glossary import ALL, TERMS, Term
from memcalc.learn.lessons import LESSONS
from memcalc.learn.lessons.saving import LESSON as SAVING
from memcalc.models import catalogue
from memcalc.quantisation.gguf_types import BLOCKS
from memcalc.ui import glossary

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("term", ALL, ids=lambda one: one.name)
def test_a_term_is_one_sentence(term: Term) -> None:
    assert term.sentence.endswith(".")
    assert not re.search(r"[.!?] ", term.sentence)
    assert 0 <= term.lesson <= len(LESSONS)


def test_no_term_is_there_twice() -> None:
    assert len(TERMS) == len(ALL)
    assert len({one.sentence for one in ALL}) == len(ALL)
    assert SAVING in LESSONS


def test_every_term_that_a_page_explains_is_in_the_glossary() -> None:
    """Whatever is passed to ``glossary.row``, or named ``terms`` or ``BOTH``, read off the source."""
    named: set[str] = set()
    files = [
        *ROOT.glob("memcalc/ui/*.py"),
        *ROOT.glob("pages/views/*.py"),
        *ROOT.glob("memcalc/learn/lessons/*.py"),
        *ROOT.glob("memcalc/learn/exercises/*.py"),
    ]
    for file in files:
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            given: list[ast.expr] = []
            if isinstance(node, ast.Call):
                given += [one.value for one in node.keywords if one.arg == "terms"]
                if isinstance(node.func, ast.Attribute) and node.func.attr == "row":
                    given += node.args
            if isinstance(node, ast.Assign) and any(isinstance(one, ast.Name) and one.id in ("BOTH", "TERMS")
                                                    for one in node.targets):  # fmt: skip
                given.append(node.value)
            for one in given:
                if isinstance(one, ast.Tuple):
                    named |= {word.value for word in one.elts if isinstance(word, ast.Constant)}
    assert "KV cache" in named
    assert named <= TERMS.keys()


PAGES = [one.name for one in sorted((ROOT / "pages" / "views").glob("*.py")) if one.name != "glossary.py"]


@pytest.mark.parametrize("name", PAGES)
def test_every_page_explains_the_words_that_it_uses(name: str) -> None:
    """A row of buttons at the foot: at least two terms, each with its sentence, and the way to all of them."""
    link = {"pins": json.dumps([{"model": "gpt2"}])} if name == "compare.py" else {}
    test = opened(f"pages/views/{name}", **link)
    assert not test.exception
    said = "".join(one.proto.body for one in test.get("html"))
    assert sum(f">{glossary.said(one)}<" in said for one in ALL) >= 2
    assert any(one.proto.label == "All terms" for one in test.get("page_link"))


def test_a_lesson_explains_every_word_that_leads_to_it() -> None:
    """What the glossary sends a reader to a lesson for stands in that lesson's row, or in one before it."""
    known: set[str] = set()
    missing = []
    for number, lesson in enumerate(LESSONS, 1):
        known |= set(lesson.terms)
        missing += [one.name for one in ALL if one.lesson == number and one.name not in known]
    assert missing == []


def test_figures_in_formulas_are_right() -> None:
    rows, width = (catalogue.find("Llama-3.1-8B").config[name] for name in ("vocab_size", "hidden_size"))
    assert f"{rows:,} × {width:,} × 2 B = {units.binary(rows * width * 2)}" in TERMS["embedding"].formula
    assert f"{catalogue.find('Llama-3.1-8B').config['num_hidden_layers']} of them" in TERMS["block"].formula
    assert f"{8e9 * 2 / units.GiB:.1f} GiB" in TERMS["parameter"].formula
    block, size = BLOCKS["Q4_0"]
    assert TERMS["quantisation"].formula.endswith(f"= {8 * size / block}")
    assert f"{4 + 8 / 64 + 32 / (64 * 256):.3f} bits" in TERMS["QLoRA"].formula
    assert f"{16 * units.GiB / 1e9:.1f} GB" in TERMS["GiB and GB"].formula


def test_the_formula_of_the_cache_is_the_cores() -> None:
    """Llama-3.1-8B: 32 layers, 8 key heads of 128 values, 2 bytes each; keys and values."""
    found = memcalc.estimate({"model": "Llama-3.1-8B", "inference": {"prompt_tokens": 100, "new_tokens": 1}})
    assert found.runtime is not None
    assert found.runtime["kv_bytes_per_token"] == 2 * 32 * 8 * 128 * 2


def test_the_page_lists_every_term_once() -> None:
    test = AppTest.from_file(str(ROOT / "pages/views/glossary.py"), default_timeout=30).run()
    assert not test.exception
    listed = next(one.proto.body for one in test.get("html") if "mc-glossary" in one.proto.body)
    assert all(listed.count(f">{term.name}</dt>") == 1 for term in ALL)
