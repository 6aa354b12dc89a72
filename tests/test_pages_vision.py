"""The page Vision: classifiers of pictures and denoisers, what is asked of them, and scenarios that are brought."""

from __future__ import annotations

import json

import pytest
from opened import bars, html, opened
from streamlit.testing.v1 import AppTest

import memcalc
from memcalc.models.vision import MODELS, name_of
from memcalc.ui import bring, own_models, pins, vision_settings

PAGE = "pages/views/vision.py"
GiB = 2**30


def page(**query: str) -> AppTest:
    """The page, opened with a link."""
    return opened(PAGE, **query)


def test_the_page_answers_at_once() -> None:
    test = page(batch="32", precision="fp32", optimizer="sgd-momentum")
    assert not test.exception
    assert not test.warning
    assert "The model fits" in html(test, '<div class="mc-verdicts')
    assert any("32 pictures × ≈" in one.proto.body for one in test.get("html"))
    # ResNet-50: 25,557,032 weights of 4 bytes, each tensor in blocks of 512, and running figures beside them.
    assert bars(test)["weights"][0] == pytest.approx(25_557_032 * 4 / GiB, rel=0.01)


@pytest.mark.parametrize("name", MODELS)
def test_every_model_of_the_list_is_answered_at_its_own_size(name: str) -> None:
    side = vision_settings.spec_of(name).side
    assert side in vision_settings.SIDES
    for task in vision_settings.TASKS:
        found = memcalc.estimate(
            vision_settings.scenario(name, None, {"task": vision_settings.TASKS[task], "side": side})
        )
        assert found.scenario["task"] == task
        assert not any("taken as built" in one for one in found.assumptions)


@pytest.mark.parametrize("name", ["resnet50 (torchvision)", "vit_base_patch16_224 (timm)", "ViT-Base/16 (transformers)",
                                  "convnext_tiny (torchvision)", "DiT-XL/2, 256 × 256 (diffusers)"])  # fmt: skip
def test_no_choice_that_is_offered_is_refused(name: str) -> None:
    usual = {"side": vision_settings.spec_of(name).side}
    for task in vision_settings.TASKS.values():
        for setting in vision_settings.ALL:
            for value in setting.values()[:3]:
                states = {**usual, "task": task, setting.key: setting.state(value)}
                memcalc.estimate(vision_settings.scenario(name, None, states))


def test_another_model_brings_its_own_size_and_what_can_be_asked_of_it() -> None:
    test = page()
    assert test.select_slider(key="side").value == 224
    assert not [one for one in test.toggle if one.key == "checkpointing"]
    test.selectbox(key="vision").set_value("Stable Diffusion 1.5, U-Net (diffusers)").run()
    assert not test.exception
    assert test.select_slider(key="side").value == 512
    assert [one for one in test.toggle if one.key == "checkpointing"]
    assert vision_settings.follow("vit_base_patch16_384 (timm)", 160) is None


def test_one_pass_has_no_optimizer() -> None:
    test = page(task="One pass", vision="convnext_tiny (torchvision)")
    assert not test.exception
    assert "optimizer" not in {one.key for one in test.selectbox}
    assert "optimizer" not in bars(test) or not any(bars(test)["optimizer"])


def test_a_scenario_finds_its_page() -> None:
    given = {"model": {"torchvision": "resnet18"}, "task": "train", "precision": "fp32", "batch": 64, "image_size": 320}
    states, missing = vision_settings.states_of(pins.check(given))
    assert (states["vision"], states["side"], states["batch"]) == ("resnet18 (torchvision)", 320, 64)
    assert not missing
    assert vision_settings.scenario(states["vision"], None, states)["model"] == given["model"]
    with pytest.raises(ValueError, match="page Vision"):
        bring.first_page(given)
    with pytest.raises(ValueError, match="page Training"):
        vision_settings.states_of({"model": "gpt2", "task": "train"})


def test_a_model_of_pictures_has_a_name_in_lists() -> None:
    for name, model in MODELS.items():
        assert name_of(json.loads(json.dumps(model))) == name
    assert own_models.name({"timm": "resnet50"}) == "resnet50"
