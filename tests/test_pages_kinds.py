"""Brought models that are no plain decoders: quantised checkpoints, encoders, encoder-decoders, models that look at
pictures. Every page says at the control what does not apply, and offers nothing that is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from opened import bars, opened
from streamlit.testing.v1 import AppTest

import memcalc
from memcalc.models import catalogue, packed, portable
from memcalc.solve import axes
from memcalc.solve.quantities import possible
from memcalc.ui import inference_settings, own_models, training_settings
from memcalc.ui.inference_more import rows

GPTQ = {"bits": 4, "group_size": 128, "desc_act": False, "sym": True, "quant_method": "gptq"}
NF4 = {"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_quant_type": "nf4"}
VIT = {"architectures": ["ViTForImageClassification"], "model_type": "vit", "hidden_size": 768, "num_labels": 1000,
       "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072, "image_size": 224,
       "patch_size": 16}  # fmt: skip


def own(name: str, config: dict[str, Any], **more: Any) -> dict[str, Any]:
    return dict(portable.carried({"config": {**config, **more}, "name": name}))


SMALL = catalogue.find("Llama-3.2-1B").config
MODELS = {
    "Quantised": own("Quantised", SMALL, quantization_config=GPTQ),
    "Four-Bits": own("Four-Bits", SMALL, quantization_config=NF4),
    "Unknown": own("Unknown", SMALL, quantization_config={"quant_method": "aqlm"}),
    "Reader": own("Reader", catalogue.find("bert-base-uncased").config),
    "Translator": own("Translator", catalogue.find("t5-small").config),
    "Looker": own("Looker", VIT),
}
PAGES = ("fit", "training", "inference", "timeline", "batch", "advise", "sweep", "cards", "run")


def page(name: str, model: str, **link: str) -> AppTest:
    test = opened(f"pages/views/{name}.py", own=packed.pack(MODELS[model]), model=model, gpu="24 GB card", **link)
    assert not test.exception
    return test


def said(test: AppTest) -> str:
    shown = (*test.warning, *test.info, *test.error, *test.caption)
    return " ".join(one.value for one in shown).replace("\\", "")


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("model", list(MODELS))
def test_every_page_draws_every_kind_and_says_what_it_is(name: str, model: str) -> None:
    test = page(name, model)
    words = said(test)
    assert ("published in GPTQ 4 bits" in words) == (model == "Quantised")
    assert ("quantised by aqlm" in words) == (model == "Unknown")
    reads = name not in ("training", "run")  # those are about training only
    assert ("Reader reads all tokens at once and writes none" in words) == (model == "Reader" and reads)
    assert ("Looker looks at pictures" in words) == (model == "Looker" and name != "run")


def held(test: AppTest) -> float:
    """Bytes of weights in the only chart's longest bar."""
    (name,) = [one for one in bars(test) if one.casefold() == "weights"]
    return max(bars(test)[name]) * 2**30


def test_the_inference_page_takes_the_checkpoints_own_format() -> None:
    """And shows the other one at the control; the bars are those of the core."""
    test = page("inference", "Quantised")
    (weights,) = [one for one in test.selectbox if one.label == "Weights"]
    assert weights.value == "as published"
    assert weights.options[:2] == ["as published", "dequantised to the precision"]
    core = memcalc.estimate({"model": MODELS["Quantised"]})
    assert held(test) == pytest.approx(core.at_peak["weights"], rel=1e-6)
    weights.set_value("dequantised to the precision").run()
    assert not test.exception
    whole = memcalc.estimate({"model": "Llama-3.2-1B"})
    assert held(test) == pytest.approx(whole.at_peak["weights"], rel=1e-6)


def test_training_a_quantised_checkpoint_is_answered_at_the_control() -> None:
    test = page("training", "Four-Bits")
    assert "qlora trains adapters" in said(test)
    test.segmented_control(key="method").set_value("QLoRA").run()
    assert not test.exception
    assert "qlora trains adapters" not in said(test)
    assert bars(test)
    dequantized = page("training", "Quantised")
    assert not dequantized.exception
    assert bars(dequantized)


def test_the_table_of_quantisations_begins_with_the_published_format() -> None:
    scenario = {"model": MODELS["Quantised"], "hardware": {"gpu": "24GB"}, "inference": {"prompt_tokens": 64}}
    first, second, *_ = rows(scenario)
    assert (first.weights, second.weights) == ("same", "dequantized")
    assert first.size < 0.7 * second.size


def test_only_what_a_kind_has_is_offered() -> None:
    """The controls of the form pages, the axes of Sweep and the numbers that Make it fit searches."""

    def offered(model: str, task: str) -> set[str]:
        settings = training_settings.ALL if task == "train" else inference_settings.ALL
        scenario: dict[str, Any] = {"model": MODELS[model], "task": task}
        if task == "infer" and not own_models.writes(MODELS[model]):
            scenario["inference"] = {"runtime": "forward"}
        return {one.key for one in settings if one.applies(scenario)}

    def swept(model: str, task: str) -> set[str]:
        return {one.path for one in axes.axes({"model": MODELS[model], "task": task}).values()}

    def searched(model: str, task: str) -> set[str]:
        return {one.path for one in possible({"model": MODELS[model], "task": task})}

    assert {"runtime", "new", "seq", "weights"} <= offered("Translator", "infer")
    assert offered("Translator", "infer").isdisjoint({"cache", "paged", "cells"})
    assert offered("Translator", "train").isdisjoint({"loss", "liger"})
    assert offered("Reader", "infer").isdisjoint({"runtime", "new", "cache", "beams", "logits", "stored"})
    assert {"seq", "weights", "mask"} <= offered("Reader", "infer")
    assert offered("Looker", "infer").isdisjoint({"runtime", "new", "seq", "mask", "weights", "stored", "cache"})
    assert offered("Looker", "train").isdisjoint({"seq", "mask", "loss", "liger"})
    assert "stored" in offered("Quantised", "infer")
    assert "weights" not in offered("Quantised", "infer")
    assert {"inference.new_tokens", "inference.kv_cache"}.isdisjoint(swept("Reader", "infer"))
    assert "image_size" not in swept("Reader", "infer") | swept("Quantised", "train")
    assert {"batch", "image_size"} <= swept("Looker", "train") & searched("Looker", "train")
    for task in ("train", "infer"):
        assert {"seq_len", "inference.prompt_tokens"}.isdisjoint(swept("Looker", task) | searched("Looker", task))


def test_the_length_of_pictures_cannot_be_moved() -> None:
    (slider,) = [one for one in page("fit", "Looker").select_slider if one.key == "seq"]
    assert slider.disabled
    (slider,) = [one for one in page("fit", "Reader").select_slider if one.key == "seq"]
    assert not slider.disabled


def test_how_far_a_card_goes_with_pictures() -> None:
    """Batch against size, not against length; the frontier falls."""
    test = page("advise", "Looker")
    assert "Batch against size" in " ".join(one.value for one in test.markdown)
    (chart,) = [one for one in test.get("plotly_chart") if "pixels a side each" in one.proto.spec]
    (line, _) = json.loads(chart.proto.spec)["data"]
    assert line["y"] == sorted(line["y"], reverse=True)
