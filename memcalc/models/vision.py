"""Models of pictures that people know by name: classifiers of timm, torchvision and transformers, denoisers of
diffusers."""

from __future__ import annotations

from typing import Any

from memcalc.models import denoisers, pictures

_VIT: dict[str, Any] = {"model_type": "vit", "architectures": ["ViTForImageClassification"], "num_labels": 1000}
_LARGE = {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096}
_DINO: dict[str, Any] = {
    "model_type": "dinov2", "architectures": ["Dinov2ForImageClassification"], "num_labels": 1000,
}  # fmt: skip
CONFIGURED: dict[str, dict[str, Any]] = {
    "ViT-Base/16 (transformers)": _VIT,
    "ViT-Large/16 (transformers)": _VIT | _LARGE,
    "DINOv2-Base/14 (transformers)": _DINO,
    "DINOv2-Large/14 (transformers)": _DINO | {key: _LARGE[key] for key in _LARGE if key != "intermediate_size"},
}
"""google/vit-base-patch16-224 and vit-large-patch16-224, facebook/dinov2-base and -large with a head, at 224
pixels: transformers' defaults, and the sizes of the papers [Dosovitskiy et al. 2020, arXiv 2010.11929, table 1; Oquab
et al. 2023, arXiv 2304.07193, table 17]."""

DENOISERS: dict[str, dict[str, Any]] = {
    "Stable Diffusion 1.5, U-Net (diffusers)": {"_class_name": "UNet2DConditionModel", "sample_size": 64,
                                                "cross_attention_dim": 768},
    "DiT-XL/2, 256 × 256 (diffusers)": {"_class_name": "DiTTransformer2DModel", "out_channels": 8, "sample_size": 32},
    "DiT-XL/2, 512 × 512 (diffusers)": {"_class_name": "DiTTransformer2DModel", "out_channels": 8, "sample_size": 64},
}  # fmt: skip
"""The classes' defaults are these models' but for what stands here [diffusers 0.42 models/unets, models/transformers;
the repositories' configurations]."""


def _named() -> dict[str, dict[str, Any]]:
    """Every model by the name that it has in lists: torchvision's first, then what only timm has."""
    both = set(pictures.names("torchvision"))
    listed = [("torchvision", name) for name in pictures.names("torchvision")]
    listed += [("timm", name) for name in pictures.names("timm") if name not in both]
    found: dict[str, dict[str, Any]] = {f"{name} ({library})": {library: name} for library, name in listed}
    found |= {name: {"config": config} for name, config in CONFIGURED.items()}
    return found | {name: {"diffusers": config} for name, config in DENOISERS.items()}


MODELS = _named()
"""The scenario's ``model`` by name."""


def name_of(model: Any) -> str | None:
    """What a scenario's model is called in lists; None for other models."""
    return next((name for name, one in MODELS.items() if one == model), None)


def is_vision(model: Any) -> bool:
    """Whether a scenario's model is a classifier of a library, or a denoiser by itself."""
    return (isinstance(model, dict) and len(model) == 1 and set(model) <= set(pictures.LIBRARIES)) or (
        denoisers.is_denoiser(model)
    )
