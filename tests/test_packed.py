"""Models that carry their own description, and the text that a link holds of one."""

from __future__ import annotations

import base64
import json
import zlib
from pathlib import Path
from typing import Any

import pytest
from test_model_files import HIDDEN, VOCAB, tensors, write

import memcalc
from memcalc.errors import ModelError
from memcalc.models import catalogue, describe, packed, portable
from memcalc.models.files import gguf_listing
from memcalc.models.files.gguf_header import Tensor
from memcalc.solve.models import models_that_fit

LLAMA: dict[str, Any] = catalogue.find("Llama-3.1-8B").config


def test_what_is_carried_of_every_configuration_of_the_catalogue_says_the_same() -> None:
    """With unread entries beside it, hundreds of them: they are left out, and nothing else is."""
    noise = {"torch_dtype": "bfloat16", "id2label": {str(one): "x" for one in range(300)}, "auto_map": {"a": "b.py"}}
    for name, entry in catalogue.entries().items():
        whole = {"config": {**noise, **entry.config}, "name": name}
        kept = portable.carried(whole)
        assert describe(kept) == describe(whole), name
        assert not set(noise) & set(kept["config"]), name
        text = packed.pack(kept)
        assert packed.unpack(text) == kept
        assert len(text) < 400, name  # a link may have some 8,000 characters; lists of layers are what is long
        assert set(text) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


def test_a_carried_model_is_estimated_like_its_configuration() -> None:
    kept = portable.carried({"config": LLAMA, "name": "Mine"})
    for more in ({"task": "train", "training": {"method": "lora"}}, {"inference": {"runtime": "vllm"}}):
        here, there = (memcalc.estimate({"model": one, **more}, False) for one in (kept, "Llama-3.1-8B"))
        assert (here.peak, here.at_peak, here.parameters) == (there.peak, there.at_peak, there.parameters)


def test_a_gguf_file_is_carried_with_its_blocks(tmp_path: Path) -> None:
    """On another machine, without the file: llama.cpp's buffers to the byte."""
    held = tensors()
    held["blk.1.attn_v.weight"] = (held["blk.1.attn_v.weight"][0], held["blk.1.attn_q.weight"][1])
    file = {"gguf": str(write(tmp_path / "small.gguf", held))}
    kept = portable.carried(file, allow_files=True)
    json.dumps(kept)
    assert "stored" in kept
    assert str(tmp_path) not in json.dumps(kept)
    again = packed.unpack(packed.pack(kept))
    asked = {"inference": {"runtime": "llama.cpp", "n_ctx": 1024}}
    here, there = (memcalc.estimate({"model": one, **asked}) for one in (file, again))
    assert here.runtime == there.runtime
    assert here.peak == there.peak
    assert describe(again).name == "Small Llama"


def test_equal_tensors_of_different_blocks_are_one_row() -> None:
    held = [Tensor(f"blk.{block}.ffn_up.weight", (64, 32), "Q4_K", 0) for block in (0, 1, 2, 5, 7, 8)]
    held += [Tensor("output.weight", (64, 100), "Q6_K", 0)]
    rows = [["blk.*.ffn_up.weight", [64, 32], "Q4_K", "0-2,5,7-8"], ["output.weight", [64, 100], "Q6_K"]]
    assert gguf_listing.rows(held) == rows
    assert set(gguf_listing.tensors(rows)) == set(held)


ROW = ["blk.*.attn_v.weight", [64, 32], "Q6_K", "0-2"]


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ({}, "must be a list"), ([[]], "a name, a shape"), ([[*ROW[:3]]], "cannot be called"),
        ([["../x", [1], "F32"]], "cannot be called"), ([[*ROW[:2], "Q9", "0"]], "no block type"),
        ([[ROW[0], [64, 2**41], *ROW[2:]]], "impossible shape"), ([[ROW[0], [True], *ROW[2:]]], "impossible shape"),
        ([[*ROW[:3], "0-"]], "numbers"), ([[*ROW[:3], ["0"]]], "numbers"), ([ROW, ROW], "twice"),
        ([[f"blk.*.t{one}", [1], "F32", "0-9999"] for one in range(10)], "no real file"),
        ([[*ROW[:3], "0," * 20_000]], "numbers"),
    ],
)  # fmt: skip
def test_hostile_lists_of_tensors_are_refused(rows: Any, words: str) -> None:
    with pytest.raises(ModelError, match=words):
        gguf_listing.tensors(rows)


def text_of(value: Any) -> str:
    """A link's text for any JSON, made by hand."""
    press = zlib.compressobj(9, zdict=packed._WORDS)
    data = press.compress(json.dumps(value).encode()) + press.flush()
    return "1" + base64.urlsafe_b64encode(data).decode().rstrip("=")


GOOD = packed.pack({"config": LLAMA, "name": "Mine"})
STORED = {"bytes": 10, "tensors": [["token_embd.weight", [HIDDEN, VOCAB], "Q4_K"]]}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "another version"), ("2" + GOOD[1:], "another version"), ("1", "cut short"), ("1!!!", "cut short"),
        (GOOD[:-4], "cut short"), (GOOD[:20] + "AAAA" + GOOD[24:], "cut short|JSON"), (GOOD + "AAAA", "cut short"),
        ("1" + "A" * 5000, "longer than"), (text_of([]), "not a JSON object"), (text_of({"model": 1}), "no config"),
        (text_of({"config": {}}), "lacks model_type"), (text_of({"config": {**LLAMA, "hidden_size": -1}}), "hidden"),
        (text_of({"config": {**LLAMA, "num_hidden_layers": 10**6}}), "num_hidden_layers"),
        (text_of({"config": {"model_type": "never-heard-of"}}), "no program yet"),
        (text_of({"config": LLAMA, "hub": "a/b"}), "unknown field"), (text_of({"gguf": "/etc/passwd"}), "no config"),
        (text_of({"config": LLAMA, "name": "a\nb"}), "model.name"), (text_of({"config": LLAMA, "name": 3}), "name"),
        (text_of({"config": LLAMA, "repository": "/etc/passwd"}), "repository"),
        (text_of({"config": LLAMA, "repository": "a/b:../../c"}), "repository"),
        (text_of({"config": LLAMA, "stored": {"bytes": 1}}), "bytes and tensors"),
        (text_of({"config": LLAMA, "stored": {**STORED, "bytes": 1.5}}), "file's size"),
        (text_of({"config": LLAMA, "stored": STORED}), "the program for llama has"),
        (text_of({"config": {**LLAMA, "x": "A" * 500_000}}), "holds more than 256 KiB"),
        (text_of({"config": {**LLAMA, "x": json.loads("[" * 60 + "]" * 60)}}), "nested too deeply"),
    ],
)  # fmt: skip
def test_wild_and_hostile_texts_are_refused_in_words(text: str, words: str) -> None:
    with pytest.raises(ModelError, match=words):
        packed.unpack(text)


def test_every_cut_of_a_text_is_refused_or_the_same() -> None:
    for end in range(len(GOOD)):
        with pytest.raises(ModelError):
            packed.unpack(GOOD[:end])


def test_a_text_of_version_1_stays_readable() -> None:
    """Links are kept for years: this very text was made when the format was new."""
    kept = packed.unpack("1ePnqjiHKQ45djCjBFhsoSSAHpEAJLYoGMlYIRQONIgAR0L7AekOpFgAp8XbC")
    assert kept["name"] == "Mine"
    assert describe(kept).spec == describe("Llama-3.1-8B").spec


def test_a_model_that_is_not_of_the_catalogue_is_the_only_one_of_its_family() -> None:
    kept = portable.carried({"config": LLAMA, "name": "Mine"})
    (found,) = models_that_fit({"model": kept, "hardware": {"gpu": "24GB"}}, allow_files=False)
    assert (found.name, found.parameters) == ("Mine", memcalc.estimate({"model": kept}).parameters["total"])
    assert found.verdict is not None
