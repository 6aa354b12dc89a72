"""The page Images: pipelines, their phases, what would make them fit, and the code."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from opened import bars, html, opened
from streamlit.testing.v1 import AppTest

import memcalc
from memcalc.diffusion.asked import OFFLOADS, WEIGHTS
from memcalc.ui import bring, images_settings, pins

PAGE = "pages/views/images.py"
SLOW = 60
GiB = 2**30


def page(**query: str) -> AppTest:
    """The page, opened with a link."""
    return opened(PAGE, **query)


def test_the_page_answers_at_once() -> None:
    test = page(gpu="24 GB card")
    assert not test.exception
    assert not test.warning
    assert "Image generation needs" in html(test, '<div class="mc-verdicts')
    # 16,870,599,139 parameters in bf16: 31.4 GiB, on the card in all three phases.
    assert bars(test)["weights"] == pytest.approx([16_870_599_139 * 2 / GiB] * 3, rel=0.001)


def test_every_choice_is_one_of_the_cores() -> None:
    """The page's tables against what the core takes: a link never leads to a refusal."""
    assert set(images_settings.WEIGHTS) <= set(WEIGHTS)
    assert set(images_settings.OFFLOADS) == set(OFFLOADS)
    assert all(side % 64 == 0 for side in images_settings.SIDES)
    for name in images_settings.MODELS:
        for setting in images_settings.ALL:
            for value in setting.values():
                states = {"infer": "fp16", setting.key: setting.state(value)}
                memcalc.estimate(images_settings.scenario(name, None, states))


def test_another_model_brings_its_usual_size_and_steps() -> None:
    test = page(pipeline="FLUX.1-dev")
    test.selectbox(key="pipeline").set_value("SD-1.5").run()
    assert not test.exception
    assert [test.select_slider(key=key).value for key in ("wide", "high", "steps")] == [512, 512, 50]
    assert images_settings.follow("SDXL", {"wide": 768, "high": 512, "steps": 12}) == {}


def test_only_what_means_something_is_asked() -> None:
    switches = {
        name: {one.key for one in page(pipeline=name, infer="fp16").toggle}
        for name in ("FLUX.1-dev", "SDXL", "SD3-medium")
    }
    assert switches["FLUX.1-dev"] == {"slicing", "tiling"}
    assert switches["SDXL"] == {"slicing", "tiling", "unguided", "fixed"}
    assert switches["SD3-medium"] == {"slicing", "tiling", "unguided", "not5"}


@pytest.mark.parametrize("name", images_settings.MODELS)
@pytest.mark.parametrize("offload", images_settings.OFFLOADS.values())
def test_many_settings(name: str, offload: str) -> None:
    key = "unet" if name in ("SDXL", "SD-1.5") else "parts"
    test = page(pipeline=name, offload=offload, images="2", tiling="true", gpu="16 GB card", infer="fp16",
                **{key: images_settings.WEIGHTS["nf4"]})  # fmt: skip
    assert not test.exception
    assert not test.warning
    assert not test.info
    assert all(sum(sizes[phase] for sizes in bars(test).values()) > 0 for phase in range(3))
    (shown,) = test.code
    compile(shown.value, "copied", "exec")
    assert "num_images_per_prompt=2" in shown.value
    assert "pipe.vae.enable_tiling()" in shown.value


def test_the_bars_say_what_the_estimate_says() -> None:
    """Offloaded, every phase has its own models on the card: the highest bar ends at the estimate's peak."""
    test = page(offload="one model at a time", gpu="24 GB card")
    found = memcalc.estimate(
        {"model": "FLUX.1-dev", "inference": {"offload": "model"}, "hardware": {"gpu": "24GB"}}
    )  # fmt: skip
    totals = [sum(sizes[phase] for sizes in bars(test).values()) for phase in range(3)]
    assert max(totals) == pytest.approx(found.peak["device"] / GiB)
    table = html(test, '<div class="mc-tables"><div class="mc-wide"><table><caption><b>Image')
    assert "denoiser 22.2 GiB" in table


def test_what_would_make_it_fit_can_be_applied() -> None:
    test = page(gpu="16 GB card")
    assert "more" in html(test, '<div class="mc-verdicts')
    test.button(key="apply-plan-images").click().run()
    assert not test.exception
    assert "fits" in html(test, '<div class="mc-verdicts')


def test_what_fits_fits_and_one_more_does_not() -> None:
    test = page(gpu="24 GB card", parts=images_settings.WEIGHTS["nf4"])
    said = html(test, '<dl class="mc-facts')
    most = int(re.findall(r"Pictures at once that fit\s+(\d+)", said)[0])

    def verdict(images: int) -> str:
        fit = memcalc.estimate({"model": "FLUX.1-dev", "inference": {"weights": "nf4", "images": images},
                                "hardware": {"gpu": "24GB"}}).fit  # fmt: skip
        assert fit is not None
        return str(fit["verdict"])

    assert verdict(most) == "fits"
    assert verdict(most + 1) != "fits"


def test_a_scenario_goes_there_and_back() -> None:
    given: dict[str, Any] = {
        "model": "FLUX.1-schnell", "precision": "fp16", "hardware": {"gpu": "24GB"},
        "inference": {"weights": "gguf:Q8_0", "width": 1344, "height": 768, "images": 4, "steps": 4,
                      "offload": "model", "vae_slicing": True, "vae_tiling": True},
    }  # fmt: skip
    states, missing = images_settings.states_of(bring.one(bring.read(json.dumps(given).encode())))
    assert missing == []
    again = images_settings.scenario(states["pipeline"], given["hardware"], states)
    assert memcalc.estimate(again).as_dict() == memcalc.estimate(given).as_dict()


def test_scenarios_of_other_pages_are_sent_there() -> None:
    with pytest.raises(ValueError, match="page Training"):
        images_settings.states_of({"model": "gpt2", "task": "train"})
    with pytest.raises(ValueError, match="page Images"):
        bring.first_page({"model": "FLUX.1-dev"})


def test_what_the_controls_cannot_say_is_named() -> None:
    _, missing = images_settings.states_of({"model": "FLUX.1-dev", "batch": 2, "inference": {"width": 1008}})
    assert missing == ["inference.width", "batch"]


def test_a_pipeline_can_be_pinned_and_compared() -> None:
    pinned = [{"model": "FLUX.1-dev", "hardware": {"gpu": "24GB"}, "inference": {"offload": "model"}},
              {"model": "FLUX.1-dev", "hardware": {"gpu": "24GB"}, "inference": {"weights": "nf4"}}]  # fmt: skip
    assert pins.read(json.dumps(pinned)) == (pinned, [])
    test = AppTest.from_file("../app.py", default_timeout=SLOW)
    test.switch_page("pages/views/compare.py")
    test.query_params["pins"] = json.dumps(pinned)
    test.run()
    assert not test.exception
    assert not test.warning
    assert len(re.findall("FLUX.1-dev", html(test, '<div class="mc-verdicts'))) == 2


def test_a_model_that_is_not_there_is_said() -> None:
    test = page(pipeline="SDXL 9", steps="3")
    assert not test.exception
    said = " ".join(one.value for one in test.info)
    assert "SDXL 9" in said
    assert "steps" in said
