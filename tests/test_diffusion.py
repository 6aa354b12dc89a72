"""Image pipelines as their parts: counts of the real classes, published measurements, rules of offload and batch."""

from __future__ import annotations

from typing import Any

import pytest

import memcalc
from memcalc.advise import advise, plan
from memcalc.diffusion import NAMES
from memcalc.diffusion.asked import OFFLOADS, WEIGHTS
from memcalc.diffusion.code import code
from memcalc.errors import MemcalcError
from memcalc.measured import Measurement, figure, measurements
from memcalc.scenario.paths import put
from memcalc.solve.axes import axis
from memcalc.solve.cards import smallest_card
from memcalc.solve.grid import grid
from memcalc.solve.largest import largest
from memcalc.solve.verdict import verdict

GiB = 2**30
PUBLISHED_ROWS = [one for one in measurements() if one.id.startswith(("flux-", "sd3-", "sdxl-"))]


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


@pytest.mark.parametrize("case", [one for one in PUBLISHED_ROWS if not one.differs], ids=lambda case: case.id)
def test_published_rows_are_within_a_twentieth(case: Measurement) -> None:
    low, point, high = figure(answer(**case.scenario), case.what)
    assert point == pytest.approx(case.measured, rel=0.05)
    assert low <= case.measured <= high


def test_there_are_thirteen_published_rows_of_the_code_that_is_meant() -> None:
    """Ten of FLUX.1-dev, three of SD3: all on the card, offloaded, offloaded without T5."""
    assert sum(not one.differs for one in PUBLISHED_ROWS) == 13


@pytest.mark.parametrize(
    "case", [one for one in PUBLISHED_ROWS if one.id.startswith("sdxl-")], ids=lambda case: case.id
)
def test_published_rows_of_older_code_are_within_the_range(case: Measurement) -> None:
    """SDXL in 2023: five runs of one table, of which the decode's workspaces differ by 5 GiB."""
    low, point, high = figure(answer(**case.scenario), case.what)
    assert low <= case.measured <= high
    assert point == pytest.approx(case.measured, rel=0.25)


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
    assert "4,032 positions" in " ".join(wide.assumptions)
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


@pytest.mark.parametrize("name", NAMES)
def test_the_code_of_every_model_is_python(name: str) -> None:
    text = code({"model": name, "precision": "fp16", "inference": {"vae_upcast": False, "weights": "nf4"}})
    compile(text, "copied", "exec")
    assert ("AutoencoderKL" in text) == (name == "SDXL")
    assert ("text_encoder" in text) == (not name.startswith(("SDXL", "SD-1.5")))  # T5 is quantised too
    assert ("max_sequence_length" in text) == (not name.startswith(("SDXL", "SD-1.5")))


def test_the_code_leaves_out_what_is_left_out() -> None:
    text = code({"model": "SD3-medium", "inference": {"t5": False, "guidance": False}})
    assert "text_encoder_3=None" in text
    assert "tokenizer_3=None" in text
    assert "guidance_scale=1.0" in text


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
        ({"model": {"diffusers": {"_class_name": "UNet2DModel"}}}, "model.diffusers._class_name"),
        ({"model": {"diffusers": {"_class_name": "FluxTransformer2DModel", "num_layers": -1}}},
         "model.diffusers.num_layers"),
        ({"picture": 1}, "picture"),
        ({"model": "SDXL", "inference": {"weights": "gguf:Q8_0"}}, "inference.weights"),
        ({"model": "SDXL", "inference": {"width": 1020}}, "inference.width"),
        ({"inference": {"t5": False}}, "inference.t5"),
        ({"inference": {"guidance": 3.5}}, "inference.guidance"),
        ({"model": {"diffusers": {"_class_name": "SD3Transformer2DModel", "dual_attention_layers": [3]}}},
         "model.diffusers.dual_attention_layers"),
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


def test_a_sweep_is_the_estimates_of_its_points() -> None:
    found = memcalc.sweep({"model": "SDXL", "hardware": {"gpu": "24GB"}}, images=[1, 4], image_size=[512, 1024])
    for i, images in enumerate((1, 4)):
        for j, side in enumerate((512, 1024)):
            one = answer("SDXL", image_size=side, inference={"images": images}, hardware={"gpu": "24GB"})
            assert found.device[i, j] == one.peak["device"]
            assert [found.device_low[i, j], found.device_high[i, j]] == one.range["device"]
    with pytest.raises(MemcalcError, match="cannot run over seq_len"):
        memcalc.sweep({"model": "SDXL"}, seq_len=[1, 2])


def test_the_solver_takes_pipelines() -> None:
    asked = {"model": "SDXL", "precision": "bf16", "hardware": {"gpu": "24GB"}}
    found = largest(asked, "images")
    assert verdict(put(asked, "inference.images", found.value)).state == "fits"
    assert verdict(put(asked, "inference.images", found.value + 1)).state != "fits"
    card = smallest_card(asked)
    assert card is not None
    assert verdict({**asked, "hardware": {"gpu": card.gpu.name}}).state == "fits"
    shown = grid(asked, axis(asked, "side"), axis(asked, "offload"), [512, 1024])
    assert shown.point[0, 1] == answer("SDXL", hardware={"gpu": "24GB"}).peak["device"]


@pytest.mark.parametrize("model", ["SDXL", {"diffusers": {"_class_name": "FluxPipeline"}}])
def test_what_needs_a_language_model_says_what_to_use_instead(model: Any) -> None:
    with pytest.raises(MemcalcError, match=r"image pipeline.*the page Images take it; timelines"):
        memcalc.timeline({"model": model})


TRACED = {
    # model, precision, latents at once, height, width: peak above the weights in denoise
    ("FLUX.1-dev", "bf16", 1, 1024, 1024): 490_817_024,
    ("FLUX.1-dev", "bf16", 2, 512, 512): 331_160_576,
    ("SD-1.5", "fp16", 2, 512, 512): 136_624_128,
    ("SD-1.5", "fp16", 1, 768, 512): 102_407_680,
    ("SD-1.5", "fp16", 2, 520, 520): 140_921_856,
    ("SD-1.5", "fp16", 8, 512, 512): 546_493_952,
    ("SDXL", "fp16", 2, 1024, 1024): 331_212_288,
    ("SDXL", "fp16", 1, 1024, 1024): 165_606_912,
    ("SDXL", "fp16", 2, 768, 1344): 326_047_232,
    ("SDXL", "fp16", 8, 512, 512): 333_154_304,
    ("SD3-medium", "fp16", 2, 1024, 1024): 339_849_728,
    ("SD3-medium", "fp16", 4, 512, 768): 269_443_584,
    ("SD3.5-medium", "fp16", 2, 1024, 1024): 365_070_848,
    ("SD3.5-medium", "fp16", 1, 512, 512): 50_021_888,
    ("SD3.5-medium", "fp16", 4, 1024, 1024): 730_141_184,
    ("SD3.5-large", "fp16", 2, 1024, 1024): 534_296_064,
    ("SD3.5-large", "fp16", 1, 1024, 1024): 267_149_312,
}
"""One pass of UNet2DConditionModel, SD3Transformer2DModel or FluxTransformer2DModel of diffusers 0.42.1, with the
published sizes, run on fake tensors by the project's ledger: bytes at its highest above the weights."""


def own(found: memcalc.Estimate, phase: str) -> int:
    phases = {one["name"]: one for one in found.phases}
    return int(phases[phase]["tensors"] - phases[phase]["at_peak"]["weights"])


@pytest.mark.parametrize(
    ("case", "traced"), TRACED.items(), ids=lambda case: "-".join(map(str, case)) if isinstance(case, tuple) else ""
)
def test_passes_of_the_denoiser_are_near_traces_of_diffusers_code(
    case: tuple[str, str, int, int, int], traced: int
) -> None:
    model, precision, latents, height, width = case
    guided = model.startswith("SD") and latents % 2 == 0
    found = answer(model, precision=precision, inference={
        "height": height, "width": width, "images": latents // 2 if guided else latents, "guidance": guided,
    })  # fmt: skip
    assert own(found, "denoise") == pytest.approx(traced, rel=1.5e-3)


@pytest.mark.parametrize(
    ("model", "images", "sides", "inference", "traced"),
    [
        ("FLUX.1-dev", 1, (512, 512), {}, 402_784_256),
        ("FLUX.1-dev", 1, (1024, 1024), {}, 1_611_137_024),
        ("FLUX.1-dev", 1, (768, 1344), {}, 1_585_963_008),
        ("FLUX.1-dev", 2, (2048, 1024), {"vae_tiling": True}, 3_239_051_264),
        ("SDXL", 1, (1024, 1024), {}, 3_221_749_760),
        ("SDXL", 3, (1024, 1024), {"vae_slicing": True}, 3_247_439_872),
        ("SD-1.5", 4, (512, 512), {}, 1_610_874_880),
    ],
)
def test_decodes_are_near_traces_of_diffusers_code(
    model: str, images: int, sides: tuple[int, int], inference: dict[str, Any], traced: int
) -> None:
    """AutoencoderKL.decode of diffusers 0.42.1 on fake tensors: FLUX.1 in bf16, SDXL in fp32, as a pipeline in fp16 has
    it, SD 1.5 in fp16. Pictures that wait for others are counted whole, which is a little more than there is."""
    found = answer(model, precision="bf16" if model.startswith("FLUX") else "fp16", inference={
        "height": sides[0], "width": sides[1], "images": images, **inference,
    })  # fmt: skip
    assert traced <= own(found, "decode") <= traced * (1.0075 if inference else 1)


COUNTS = {
    "SD-1.5": {"text encoder CLIP-L": 123_060_480, "denoiser": 859_520_964, "VAE": 83_653_863,
               "safety checker": 303_981_588},
    "SDXL": {"text encoder CLIP-L": 123_060_480, "text encoder OpenCLIP bigG": 694_659_840,
             "denoiser": 2_567_463_684, "VAE": 83_653_863},
    "SD3-medium": {"text encoder CLIP-L": 123_650_304, "text encoder OpenCLIP bigG": 694_659_840,
                   "text encoder T5-XXL": 4_762_310_656, "denoiser": 2_028_328_000, "VAE": 83_819_683},
    "SD3.5-medium": {"denoiser": 2_243_171_520},
    "SD3.5-large": {"denoiser": 8_056_627_520},
}  # fmt: skip


@pytest.mark.parametrize("model", COUNTS)
def test_stable_diffusions_have_as_many_parameters_as_the_real_classes(model: str) -> None:
    """diffusers 0.42.1 and transformers 5.23 on the meta device."""
    parts = answer(model).runtime["parts"]  # type: ignore[index]
    assert {name: one["parameters"] for name, one in parts.items() if name in COUNTS[model]} == COUNTS[model]
    assert len(COUNTS[model]) in (1, len(parts))


def test_a_configuration_of_sd3_is_read_like_its_name() -> None:
    config = {"_class_name": "SD3Transformer2DModel", "num_layers": 38, "num_attention_heads": 38,
              "pos_embed_max_size": 192, "qk_norm": "rms_norm"}  # fmt: skip
    assert answer({"diffusers": config}).peak == answer("SD3.5-large").peak


def test_t5_keeps_a_third_of_itself_in_fp32_in_fp16() -> None:
    """24 layers of 4,096 × 10,240 in wo: two bytes more each. Published: 16.403 GiB for all of SD3 in fp16."""
    half = answer("SD3-medium", precision="fp16")
    assert half.persistent - answer("SD3-medium").persistent == 24 * 4096 * 10_240 * 2
    assert half.persistent / GiB == pytest.approx(16.403, rel=0.01)


def test_sdxl_decodes_in_fp32_in_fp16_only() -> None:
    """diffusers upcasts a VAE with force_upcast in fp16; in bf16, and with a VAE made for fp16, nothing is upcast. The
    VAE's 83,653,863 parameters then take two bytes more each, in the decode alone."""
    half, wide = answer("SDXL"), answer("SDXL", precision="fp16")
    assert own(wide, "decode") == pytest.approx(2 * own(half, "decode"), rel=1e-6)
    by_phase = {one["name"]: one["weights"]["VAE"] for one in wide.phases}
    assert by_phase["decode"] - by_phase["denoise"] == pytest.approx(2 * 83_653_863, rel=1e-3)
    fixed = answer("SDXL", precision="fp16", inference={"vae_upcast": False})
    assert own(fixed, "decode") == own(half, "decode")


def test_guidance_takes_every_picture_twice_but_in_flux() -> None:
    assert answer("SDXL").runtime["latents"] == 2  # type: ignore[index]
    assert own(answer("SDXL"), "denoise") > 1.9 * own(answer("SDXL", inference={"guidance": False}), "denoise")
    assert answer(inference={"guidance": True}).peak == answer().peak


def test_offloaded_text_encoders_meet_where_there_is_a_negative_prompt() -> None:
    """T5 stays while CLIP reads the negative prompt; the safety checker stays always."""
    sd3 = {one["name"]: one["weights"] for one in answer("SD3-medium", inference={"offload": "model"}).phases}
    assert set(sd3["encode"]) == {"text encoder OpenCLIP bigG", "text encoder T5-XXL"}
    assert set(sd3["denoise"]) == {"denoiser"}
    sd15 = {one["name"]: one["weights"] for one in answer("SD-1.5", inference={"offload": "model"}).phases}
    assert set(sd15["denoise"]) == {"denoiser", "safety checker"}


@pytest.mark.parametrize("name", ["WanTransformer3DModel", "CogVideoXTransformer3DModel", "LTXVideoTransformer3DModel"])
def test_models_that_make_videos_are_refused_with_the_reason(name: str) -> None:
    with pytest.raises(MemcalcError, match="third dimension"):
        answer({"diffusers": {"_class_name": name}})
