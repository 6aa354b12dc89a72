"""Classifiers of pictures: counts from their papers' code, what a side in pixels does, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

import memcalc
from memcalc.errors import MemcalcError

# Parameters as torchvision's own page of models lists them.
PUBLISHED = {
    "resnet18": 11_689_512, "resnet34": 21_797_672, "resnet50": 25_557_032, "resnet101": 44_549_160,
    "resnet152": 60_192_808, "resnext50_32x4d": 25_028_904, "resnext101_32x8d": 88_791_336,
    "resnext101_64x4d": 83_455_272, "wide_resnet50_2": 68_883_240, "wide_resnet101_2": 126_886_696,
}  # fmt: skip

# The same page for vision transformers and ConvNeXt; timm's model cards for the rest.
OTHERS = {
    ("torchvision", "vit_b_16"): 86_567_656, ("torchvision", "vit_b_32"): 88_224_232,
    ("torchvision", "vit_l_16"): 304_326_632, ("torchvision", "vit_l_32"): 306_535_400,
    ("torchvision", "vit_h_14"): 632_045_800, ("timm", "vit_base_patch16_224"): 86_567_656,
    ("torchvision", "convnext_tiny"): 28_589_128, ("torchvision", "convnext_small"): 50_223_688,
    ("torchvision", "convnext_base"): 88_591_464, ("torchvision", "convnext_large"): 197_767_336,
    ("timm", "deit_tiny_patch16_224"): 5_717_416, ("timm", "deit_small_patch16_224"): 22_050_664,
}  # fmt: skip
VIT_BASE = {"model_type": "vit", "architectures": ["ViTForImageClassification"], "num_labels": 1000}

DINO = {"model_type": "dinov2", "architectures": ["Dinov2ForImageClassification"], "num_labels": 1000}


def asked(task: str = "train", **more: Any) -> dict[str, Any]:
    return {"model": {"torchvision": "resnet50"}, "task": task, "precision": "fp32", "batch": 8, **more}


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameters_are_the_published_ones(name: str) -> None:
    assert memcalc.estimate(asked(model={"torchvision": name})).parameters["total"] == PUBLISHED[name]


@pytest.mark.parametrize(("library", "name"), OTHERS)
def test_parameters_of_the_others_are_the_published_ones(library: str, name: str) -> None:
    found = memcalc.estimate(asked(model={library: name}))
    assert found.parameters["total"] == OTHERS[library, name]


def test_a_vision_transformer_has_a_position_for_every_patch() -> None:
    """384 pixels are 24 × 24 patches of 16: 576 + 1 rows of 768 values instead of 196 + 1."""
    usual, larger = (memcalc.estimate(asked(model={"config": VIT_BASE}, image_size=side)) for side in (224, 384))
    assert larger.parameters["total"] - usual.parameters["total"] == (577 - 197) * 768
    assert any("as many positions" in one for one in larger.assumptions)
    assert not any("as many positions" in one for one in usual.assumptions)


def test_a_second_learned_token_and_a_wider_head_are_counted() -> None:
    """DeiT: one token more, and its position. DINOv2-Base, patches of 14: 86,580,480 weights published for the body
    at 518 pixels, with a token for hidden patches; here 224 pixels (257 positions, not 1370), and a head of
    2 · 768 · 1000 + 1000."""
    vit, deit, dino = (
        memcalc.estimate(asked(model={"config": one})).parameters["total"]
        for one in (VIT_BASE, VIT_BASE | {"model_type": "deit", "architectures": ["DeiTForImageClassification"]}, DINO)
    )
    assert deit - vit == 2 * 768
    assert dino == 86_580_480 - (1370 - 257) * 768 + 2 * 768 * 1000 + 1000


def test_attention_is_torchs_own_where_the_code_has_no_other() -> None:
    found = memcalc.estimate(asked(model={"timm": "vit_base_patch16_224"}, attention="eager"))
    assert found.scenario["attention"] == "sdpa"
    assert any("eager does not apply" in one for one in found.assumptions)


def test_activations_grow_with_the_area_and_weights_do_not() -> None:
    small, large = (memcalc.estimate(asked(image_size=side)) for side in (224, 448))
    assert large.component_peak["activations"] == pytest.approx(4 * small.component_peak["activations"], rel=0.01)
    assert large.persistent == small.persistent


def test_the_models_own_side_is_taken_and_said() -> None:
    found = memcalc.estimate(asked("infer"))
    assert found.scenario["image_size"] == 224
    assert any("224 × 224" in one for one in found.assumptions)
    assert found.peak["phase"] == "forward"


@pytest.mark.parametrize(
    ("field", "more"),
    [
        ("image_size", {"image_size": 16}),
        ("image_size", {"image_size": "large"}),
        ("training.checkpointing", {"training": {"checkpointing": "full"}}),
        ("training.method", {"training": {"method": "lora"}}),
        ("inference.runtime", {"task": "infer", "inference": {"runtime": "vllm"}, "hardware": {"gpu": "24GB"}}),
        ("inference.weights", {"task": "infer", "inference": {"weights": "int8"}}),
        ("parallel.tensor", {"parallel": {"tensor": 2}}),
        ("model.torchvision", {"model": {"torchvision": "vgg16"}}),
        ("model.timm", {"model": {"timm": ["resnet50"]}}),
        ("model.config.patch_size", {"model": {"config": VIT_BASE | {"patch_size": [16, 14]}}}),
        ("model.config.patch_size", {"model": {"config": VIT_BASE | {"patch_size": 500}}}),
        ("model.config.architectures", {"model": {"config": VIT_BASE | {"architectures": ["ViTModel"]}}}),
        ("training.method", {"model": {"config": VIT_BASE}, "training": {"method": "qlora"}}),
        ("model.config.drop_path_rate", {"model": {"config": DINO | {"drop_path_rate": 0.1}}}),
        ("model.config.architectures", {"model": {"config": DINO | {"architectures": ["Dinov2Model"]}}}),
        ("training.method", {"model": {"timm": "vit_base_patch16_224"}, "training": {"method": "lora"}}),
        (
            "training.checkpointing",
            {"model": {"timm": "vit_base_patch16_224"}, "training": {"checkpointing": "selective-ops"}},
        ),
    ],
)
def test_what_has_no_program_is_refused_by_name(field: str, more: dict[str, Any]) -> None:
    with pytest.raises(MemcalcError) as refused:
        memcalc.estimate({**asked(), **more})
    assert refused.value.field == field


def test_a_side_in_pixels_means_nothing_to_a_model_that_reads_text() -> None:
    found = memcalc.estimate({"model": "gpt2", "task": "train", "seq_len": 128, "image_size": 512})
    assert any("image_size is ignored" in one for one in found.assumptions)


def test_a_sweep_over_the_batch_agrees_with_each_estimate() -> None:
    grid = memcalc.sweep(asked(), batch=[1, 4, 9])
    each = [memcalc.estimate(asked() | {"batch": batch}).peak["tensors"] for batch in (1, 4, 9)]
    assert list(grid.tensors) == each
