"""Classifiers of pictures for ``record_traces.py``: torchvision's and timm's ResNets (those packages must be there)."""

from __future__ import annotations

from typing import Any

CASES: dict[str, dict[str, Any]] = {}


def train(library: str, name: str, batch: int, side: int, precision: str, **options: Any) -> None:
    """Add a training step; ``options`` are fields of ``training``."""
    said = " ".join(str(one) for one in options.values())
    CASES[f"{library} {name} train {precision} b{batch} {side} px {said}".strip()] = {
        "task": "train", "model": {library: name}, "precision": precision, "batch": batch, "image_size": side,
        "training": {"optimizer": "adamw", "optimizer_impl": "foreach", **options},
    }  # fmt: skip


def infer(library: str, name: str, batch: int, side: int, precision: str) -> None:
    """Add a forward pass."""
    CASES[f"{library} {name} forward {precision} b{batch} {side} px"] = {
        "task": "infer", "model": {library: name}, "precision": precision, "batch": batch, "image_size": side,
        "inference": {"runtime": "forward"},
    }  # fmt: skip


for precision in ("fp32", "bf16", "bf16-mixed", "fp16-mixed"):
    train("torchvision", "resnet50", 16, 224, precision)
train("torchvision", "resnet18", 64, 224, "fp32", optimizer="sgd-momentum")
train("torchvision", "resnet34", 7, 161, "bf16-mixed")
train("torchvision", "resnet101", 3, 320, "bf16-mixed", grad_accumulation=2)
train("torchvision", "resnext50_32x4d", 4, 224, "fp32", optimizer="sgd-momentum")
train("torchvision", "wide_resnet50_2", 4, 192, "bf16-mixed")
train("timm", "resnet50", 8, 224, "bf16-mixed")
train("timm", "resnet34", 5, 97, "fp32", optimizer="sgd")
infer("torchvision", "resnet50", 32, 224, "fp32")
infer("torchvision", "resnet18", 1, 224, "bf16")
infer("timm", "resnet152", 4, 448, "bf16")

# Vision transformers: transformers' own, small and whole, then timm's and torchvision's.
VIT: dict[str, Any] = {
    "architectures": ["ViTForImageClassification"], "model_type": "vit", "hidden_size": 768, "num_hidden_layers": 12,
    "num_attention_heads": 12, "intermediate_size": 3072, "hidden_act": "gelu", "image_size": 224, "patch_size": 16,
    "num_labels": 1000,
}  # fmt: skip
VIT_S = VIT | {
    "hidden_size": 192, "num_hidden_layers": 5, "num_attention_heads": 3, "intermediate_size": 500, "image_size": 96,
    "num_labels": 37,
}  # fmt: skip


def configured(
    name: str, config: dict[str, Any], batch: int, precision: str, attention: str = "sdpa", side: int = 0,
    **options: Any,
) -> None:  # fmt: skip
    """Add a training step of a model that transformers has."""
    said = " ".join(str(one) for one in options.values())
    size = {"image_size": side} if side else {}
    CASES[f"{name} train {precision} {attention} b{batch}{f' {side} px' * bool(side)} {said}".strip()] = {
        "task": "train", "model": {"config": config}, "precision": precision, "batch": batch, **size,
        "attention": attention, "training": {"optimizer": "adamw", "optimizer_impl": "foreach", **options},
    }  # fmt: skip


def forward(name: str, config: dict[str, Any], batch: int, precision: str, attention: str = "sdpa") -> None:
    """Add a forward pass of a model that transformers has."""
    CASES[f"{name} forward {precision} {attention} b{batch}"] = {
        "task": "infer", "model": {"config": config}, "precision": precision, "batch": batch, "attention": attention,
        "inference": {"runtime": "forward"},
    }  # fmt: skip


LORA = {"method": "lora", "lora": {"r": 8, "targets": ["q_proj", "v_proj"]}}
for precision in ("fp32", "bf16", "bf16-mixed", "fp16-mixed"):
    configured("vit-s", VIT_S, 8, precision)
    configured("vit-s", VIT_S, 3, precision, "eager")
    configured("vit-s", VIT_S, 4, precision, method="head")
    configured("vit-s", VIT_S, 4, precision, checkpointing="full")
    configured("vit-s", VIT_S, 4, precision, **LORA)
    forward("vit-s", VIT_S, 5, precision.removesuffix("-mixed"))
configured("vit-s", VIT_S, 4, "bf16", "math")
configured("vit-s", VIT_S, 4, "bf16", checkpointing="selective-ops")
configured("vit-s", VIT_S, 4, "bf16", checkpointing="selective-attention")
configured("vit-s", VIT_S, 4, "bf16", checkpointing="full", **LORA)
configured("vit-s", VIT_S, 4, "bf16", side=160)
configured("vit-s no bias dropout", VIT_S | {"qkv_bias": False, "hidden_dropout_prob": 0.1,
           "attention_probs_dropout_prob": 0.1}, 4, "bf16-mixed")  # fmt: skip
configured("vit-b16", VIT, 16, "bf16-mixed", grad_accumulation=2, optimizer_impl="fused")
configured("vit-b16", VIT, 16, "bf16", side=384, checkpointing="full", optimizer="sgd-momentum")
configured("vit-b16", VIT, 64, "fp32", optimizer="sgd")
forward("vit-b16", VIT, 64, "fp16")
forward("vit-b16", VIT, 4, "fp32", "eager")
for precision in ("fp32", "bf16", "bf16-mixed"):
    train("timm", "vit_tiny_patch16_224", 8, 224, precision)
    train("timm", "vit_tiny_patch16_224", 3, 96, precision, checkpointing="full")
    train("timm", "vit_tiny_patch16_224", 4, 224, precision, method="head")
    infer("timm", "vit_tiny_patch16_224", 5, 224, precision.removesuffix("-mixed"))
train("timm", "vit_base_patch32_224", 16, 224, "fp16-mixed", grad_accumulation=2)
train("timm", "vit_large_patch14_224", 8, 224, "bf16", optimizer="sgd-momentum")
train("timm", "deit_small_patch16_224", 16, 224, "bf16-mixed")
infer("timm", "vit_base_patch16_384", 16, 384, "bf16")
configured("vit-s", VIT_S, 4, "bf16", method="lora", lora={"r": 4, "targets": "all-linear", "dropout": 0.1})
configured("vit-s", VIT_S, 4, "bf16-mixed", method="dora", lora={"r": 4, "targets": ["fc1", "o_proj"]})
for precision in ("fp32", "bf16", "bf16-mixed", "fp16-mixed"):
    train("torchvision", "vit_b_32", 8, 224, precision)
train("torchvision", "vit_b_32", 4, 96, "bf16", method="head")
train("torchvision", "vit_b_16", 16, 224, "bf16-mixed", optimizer_impl="fused")
train("torchvision", "vit_l_16", 8, 224, "fp32", optimizer="sgd")
infer("torchvision", "vit_b_32", 8, 224, "fp32")
infer("torchvision", "vit_h_14", 4, 224, "bf16")

# ConvNeXt
for precision in ("fp32", "bf16", "bf16-mixed", "fp16-mixed"):
    train("timm", "convnext_tiny", 8, 224, precision)
    train("timm", "convnext_tiny", 3, 96, precision, checkpointing="full")
    train("timm", "convnext_tiny", 4, 161, precision, method="head")
    infer("timm", "convnext_tiny", 5, 224, precision.removesuffix("-mixed"))
train("timm", "convnext_small", 16, 224, "bf16-mixed", grad_accumulation=2)
train("timm", "convnext_base", 1, 288, "fp32", optimizer="sgd-momentum")
train("timm", "convnext_large", 32, 224, "bf16", optimizer_impl="fused")
infer("timm", "convnext_xlarge", 16, 384, "fp16")
for precision in ("fp32", "bf16", "bf16-mixed"):
    train("torchvision", "convnext_tiny", 8, 224, precision)
    train("torchvision", "convnext_tiny", 3, 97, precision, optimizer="sgd")
    train("torchvision", "convnext_tiny", 4, 161, precision, method="head")
    infer("torchvision", "convnext_tiny", 5, 224, precision.removesuffix("-mixed"))
train("torchvision", "convnext_base", 16, 224, "fp16-mixed", grad_accumulation=2)
train("torchvision", "convnext_large", 1, 224, "fp32", optimizer_impl="fused")
DEIT_S = VIT_S | {"architectures": ["DeiTForImageClassification"], "model_type": "deit"}
DINO_S = {key: value for key, value in VIT_S.items() if key != "intermediate_size"} | {
    "architectures": ["Dinov2ForImageClassification"], "model_type": "dinov2", "mlp_ratio": 3, "use_mask_token": True,
}  # fmt: skip
for name, config in (("deit-s", DEIT_S), ("dinov2-s", DINO_S)):
    for precision in ("fp32", "bf16", "bf16-mixed"):
        configured(name, config, 8, precision)
        configured(name, config, 3, precision, "eager")
        configured(name, config, 4, precision, checkpointing="full", optimizer="sgd")
        forward(name, config, 5, precision.removesuffix("-mixed"))
    configured(name, config, 4, "bf16-mixed", method="head")
    configured(name, config, 4, "bf16", **LORA)
configured("dinov2-s gated", DINO_S | {"use_swiglu_ffn": True, "use_mask_token": False}, 4, "bf16-mixed")
configured("dinov2-l", DINO_S | {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16,
           "mlp_ratio": 4, "image_size": 224, "patch_size": 14}, 8, "bf16", side=224)  # fmt: skip
