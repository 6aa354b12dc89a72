"""Denoisers for ``record_traces.py``: diffusers' U-Net and DiT by themselves (that package must be there)."""

from __future__ import annotations

from typing import Any

Config = dict[str, Any]
CASES: dict[str, dict[str, Any]] = {}

UNET: Config = {
    "_class_name": "UNet2DConditionModel", "sample_size": 64, "in_channels": 4, "out_channels": 4,
    "layers_per_block": 2, "block_out_channels": [320, 640, 1280, 1280],
    "down_block_types": ["CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"],
    "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"],
    "cross_attention_dim": 768, "attention_head_dim": 8,
}  # fmt: skip
UNET_S = UNET | {
    "sample_size": 16, "layers_per_block": 1, "block_out_channels": [32, 64, 96], "cross_attention_dim": 48,
    "down_block_types": ["CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"],
    "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"], "attention_head_dim": 4,
}  # fmt: skip
DIT: Config = {
    "_class_name": "DiTTransformer2DModel", "num_attention_heads": 16, "attention_head_dim": 72, "in_channels": 4,
    "out_channels": 8, "num_layers": 28, "sample_size": 32, "patch_size": 2, "num_embeds_ada_norm": 1000,
}  # fmt: skip
DIT_S = DIT | {
    "num_attention_heads": 4, "attention_head_dim": 24, "num_layers": 5, "sample_size": 16, "num_embeds_ada_norm": 100,
}  # fmt: skip


def train(name: str, config: Config, batch: int, side: int, precision: str, text: int = 0, **options: Any) -> None:
    """Add a training step; ``options`` are fields of ``training``."""
    said = " ".join(str(one) for one in options.values())
    size = {"text_len": text} if text else {}
    CASES[f"{name} train {precision} b{batch} {side} px{f' text {text}' * bool(text)} {said}".strip()] = {
        "task": "train", "model": {"diffusers": config}, "precision": precision, "batch": batch, "image_size": side,
        **size, "training": {"optimizer": "adamw", "optimizer_impl": "foreach", **options},
    }  # fmt: skip


def infer(name: str, config: Config, batch: int, side: int, precision: str) -> None:
    """Add one pass."""
    CASES[f"{name} forward {precision} b{batch} {side} px"] = {
        "task": "infer", "model": {"diffusers": config}, "precision": precision, "batch": batch, "image_size": side,
        "inference": {"runtime": "forward"},
    }  # fmt: skip


for name, config, side in (("unet-s", UNET_S, 128), ("dit-s", DIT_S, 128)):
    for precision in ("fp32", "bf16", "bf16-mixed", "fp16-mixed"):
        train(name, config, 3, side, precision)
        train(name, config, 4, 2 * side, precision, optimizer="sgd", checkpointing="full")
        infer(name, config, 5, side, precision.removesuffix("-mixed"))
    train(name, config, 2, side, "bf16-mixed", grad_accumulation=3, optimizer_impl="fused")
train("unet-s", UNET_S, 3, 104, "fp32", text=154, optimizer="sgd")
train("sd15-unet", UNET, 4, 512, "bf16-mixed", checkpointing="full", optimizer="adamw")
train("sd15-unet", UNET, 1, 768, "bf16", optimizer="sgd-momentum")
train("dit-xl2", DIT, 16, 256, "bf16-mixed", optimizer_impl="fused")
train("dit-xl2", DIT, 4, 512, "bf16", checkpointing="full", optimizer="sgd")
infer("sd15-unet", UNET, 8, 512, "fp16")
infer("dit-xl2", DIT, 32, 256, "bf16")
