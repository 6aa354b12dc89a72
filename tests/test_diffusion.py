"""FLUX.1 as its parts: counts of the real classes, published measurements, and rules of offload and batch."""

from __future__ import annotations

from typing import Any

import pytest

import memcalc
from memcalc.advise import advise, plan
from memcalc.diffusion.asked import OFFLOADS, WEIGHTS
from memcalc.diffusion.code import code
from memcalc.errors import MemcalcError
from memcalc.measured import Measurement, figure, measurements

GiB = 2**30
FLUX = [one for one in measurements() if one.id.startswith("flux-")]


def answer(model: Any = "FLUX.1-dev", **fields: Any) -> memcalc.Estimate:
    return memcalc.estimate({"model": model, **fields})


def test_parts_have_as_many_parameters_as_the_real_classes() -> None:
    """FluxTransformer2DModel and AutoencoderKL of diffusers 0.42.1, T5EncoderModel and CLIPTextModel of transformers
    5.23, built on the meta device."""
    parts = answer().runtime["parts"]  # type: ignore[index]
    counts = {name: one["parameters"] for name, one in parts.items()}
    assert counts == {
        "text encoder CLIP-L": 123_060_480,
        "text encoder T5-XXL": 4_762_310_656,
        "denoiser": 11_901_408_320,
        "VAE": 83_819_683,
    }
    schnell = answer("FLUX.1-schnell").runtime["parts"]["denoiser"]  # type: ignore[index]
    assert schnell["parameters"] == 11_891_178_560


@pytest.mark.parametrize("case", [one for one in FLUX if not one.differs], ids=lambda case: case.id)
def test_published_rows_are_within_a_twentieth(case: Measurement) -> None:
    low, point, high = figure(answer(**case.scenario), case.what)
    assert point == pytest.approx(case.measured, rel=0.05)
    assert low <= case.measured <= high


def test_there_are_ten_published_rows_of_the_code_that_is_meant() -> None:
    assert sum(not one.differs for one in FLUX) == 10


def test_bf16_weights_are_two_bytes_a_parameter() -> None:
    """16,870,599,139 parameters; the published reserved memory after loading is 31.447 GiB."""
    found = answer().persistent
    assert 2 * 16_870_599_139 <= found <= 2 * 16_870_599_139 + 2 * 2**20  # small tensors are rounded up to 512 bytes
    assert found / GiB == pytest.approx(31.447, rel=0.002)


def test_the_decode_peaks_where_256_channels_meet_full_resolution() -> None:
    """SiLU of the last level's first block: its input (256, 1024, 1024), the norm's result and its own, 512 MiB each
    in bf16, and the latents."""
    phases = {one["name"]: one for one in answer().phases}
    own = phases["decode"]["tensors"] - phases["decode"]["at_peak"]["weights"]
    assert own == 3 * 512 * 2**20 + 16 * 128 * 128 * 2


def test_slicing_decodes_one_image_at_a_time_and_tiles_bound_the_side() -> None:
    def decode(**inference: Any) -> int:
        phases = {one["name"]: one for one in answer(image_size=2048, inference=inference).phases}
        return int(phases["decode"]["tensors"] - phases["decode"]["at_peak"]["weights"])

    assert decode(images=4) == 4 * decode()
    pictures = 4 * 3 * 2048 * 2048 * 2
    assert decode(images=4, vae_slicing=True) - decode() == pictures + 3 * 16 * 256 * 256 * 2
    assert decode(vae_tiling=True) < decode() / 3


def test_width_and_height_are_diffusers_own() -> None:
    """1,344 × 768 pixels are 84 × 48 tokens, and maps of so many values; image_size stands for both sides."""
    wide = answer(inference={"width": 1344, "height": 768})
    assert wide.peak == answer(inference={"width": 768, "height": 1344}).peak
    assert "4,032 image" in " ".join(wide.assumptions)
    phases = {one["name"]: one for one in wide.phases}
    own = phases["decode"]["tensors"] - phases["decode"]["at_peak"]["weights"]
    assert own == 3 * 256 * 1344 * 768 * 2 + 16 * 168 * 96 * 2
    assert answer(image_size=512).peak == answer(inference={"width": 512, "height": 512}).peak


def test_tiles_wait_for_each_other() -> None:
    """A picture of 2,048 × 2,048 in tiles of 1,024 that start every 768: three a side, the last 512 wide. Beside the
    decoder over one tile lie the latents and (1,024 + 1,024 + 512)² pixels of tiles."""
    phases = {one["name"]: one for one in answer(image_size=2048, inference={"vae_tiling": True}).phases}
    own = phases["decode"]["tensors"] - phases["decode"]["at_peak"]["weights"]
    assert own == 3 * 256 * 1024 * 1024 * 2 + 16 * 256 * 256 * 2 + 3 * 2560 * 2560 * 2


def test_one_picture_is_not_sliced() -> None:
    """AutoencoderKL.decode slices only where there are several latents."""
    assert answer(inference={"vae_slicing": True}).peak == answer().peak


def test_each_phase_has_an_overhead_of_its_own() -> None:
    found = answer(inference={"offload": "model"})
    for one in found.phases:
        assert one["device"] == one["tensors"] + sum(one["overhead"].values())
        assert sum(one["weights"].values()) == one["at_peak"]["weights"]
    assert max(one["device"] for one in found.phases) == found.peak["device"]


def test_changes_are_differences_of_two_estimates() -> None:
    asked = {"model": "FLUX.1-dev", "hardware": {"gpu": "16GB"}, "inference": {"images": 4}}
    found = advise(asked)
    now = memcalc.estimate(asked).range["device"][1]
    assert {one.change.key for one in found.items} >= {"offload-model", "weights-nf4", "vae-slicing", "half-images"}
    for one in found.items:
        assert now - memcalc.estimate(one.change.apply(asked)).range["device"][1] == one.saves
    best = plan(asked)
    assert best.fits
    assert memcalc.estimate(best.scenario).fit["verdict"] == "fits"  # type: ignore[index]


@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize("offload", OFFLOADS)
def test_the_code_to_copy_is_python_and_says_every_setting(weights: str, offload: str) -> None:
    text = code({"model": "FLUX.1-dev", "inference": {"weights": weights, "offload": offload, "vae_slicing": True}})
    compile(text, "copied", "exec")
    assert ("quantization_config" in text) == (weights != "same")
    assert ("offload" in text) == (offload != "none")
    assert "pipe.vae.enable_slicing()" in text


def test_offload_leaves_one_model_or_one_module_on_the_card() -> None:
    whole, model, sequential = (answer(inference={"offload": one}) for one in ("none", "model", "sequential"))
    assert whole.peak["device"] > model.peak["device"] > sequential.peak["device"]
    by_phase = {one["name"]: one["at_peak"]["weights"] for one in model.phases}
    parts = model.runtime["parts"]  # type: ignore[index]
    assert by_phase["denoise"] == parts["denoiser"]["bytes"]
    assert by_phase["encode"] == parts["text encoder T5-XXL"]["bytes"]
    # The largest module of the transformer: norm1's linear layer, 3072 × 18432 in bf16.
    assert {one["name"]: one["at_peak"]["weights"] for one in sequential.phases}["denoise"] == 3072 * 18_432 * 2


def test_a_denoising_step_grows_with_the_picture_and_steps_do_not_matter() -> None:
    def denoise(side: int) -> int:
        phases = {one["name"]: one for one in answer(image_size=side).phases}
        return int(phases["denoise"]["tensors"] - phases["denoise"]["at_peak"]["weights"])

    assert denoise(512) < denoise(1024) < denoise(2048)
    assert answer(inference={"steps": 4}).peak == answer(inference={"steps": 50}).peak


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"task": "train"}, "task"),
        ({"image_size": 1000}, "image_size"),
        ({"inference": {"weights": "exl2-4bpw"}}, "inference.weights"),
        ({"inference": {"runtime": "vllm"}}, "inference.runtime"),
        ({"inference": {"offload": "disk"}}, "inference.offload"),
        ({"model": {"diffusers": {"_class_name": "UNet2DConditionModel"}}}, "model.diffusers._class_name"),
        ({"model": {"diffusers": {"_class_name": "FluxTransformer2DModel", "num_layers": -1}}},
         "model.diffusers.num_layers"),
        ({"picture": 1}, "picture"),
    ],
)  # fmt: skip
def test_what_is_not_understood_is_named(fields: dict[str, Any], field: str) -> None:
    with pytest.raises(MemcalcError) as error:
        memcalc.estimate({"model": "FLUX.1-dev", **fields})
    assert error.value.field == field


def test_a_card_gives_a_verdict() -> None:
    fit = answer(hardware={"gpu": "24GB"}).fit
    assert fit is not None
    assert fit["verdict"] == "does not fit"
    small = answer(hardware={"gpu": "24GB"}, inference={"weights": "nf4"}).fit
    assert small is not None
    assert small["verdict"] != "does not fit"


def test_a_sweep_says_that_pipelines_are_not_supported() -> None:
    with pytest.raises(MemcalcError, match="image pipeline"):
        memcalc.sweep({"model": {"diffusers": {"_class_name": "FluxPipeline"}}}, batch=[1, 2])


@pytest.mark.parametrize(
    ("side", "batch", "phase", "traced"),
    [
        (512, 1, "decode", 402_784_256),
        (1024, 1, "decode", 1_611_137_024),
        (1024, 1, "denoise", 490_817_024),
        (512, 2, "denoise", 331_160_576),
    ],
)
def test_passes_are_near_traces_of_diffusers_code(side: int, batch: int, phase: str, traced: int) -> None:
    """AutoencoderKL.decode and FluxTransformer2DModel (guidance) of diffusers 0.42.1, bf16, run on fake tensors by the
    project's ledger; peak above the weights."""
    phases = {one["name"]: one for one in answer(image_size=side, batch=batch).phases}
    assert phases[phase]["tensors"] - phases[phase]["at_peak"]["weights"] == pytest.approx(traced, rel=1e-3)
