"""What a training precision means for weights, computation, master copies and states."""

from __future__ import annotations

from dataclasses import dataclass

from memcalc.formats import Format


@dataclass(frozen=True, slots=True)
class Precision:
    """``weights``: the parameters' (and gradients') format. ``autocast``: the format that torch.autocast
    computes in, if it is on. ``master``: an fp32 copy of the trained weights is kept, with fp32 states."""

    weights: Format
    autocast: Format | None = None
    master: bool = False


TRAINING: dict[str, Precision] = {
    "fp32": Precision(Format.FP32),
    "bf16": Precision(Format.BF16),
    "fp16": Precision(Format.FP16),
    "bf16-mixed": Precision(Format.FP32, autocast=Format.BF16),
    "fp16-mixed": Precision(Format.FP32, autocast=Format.FP16),
    "bf16-master": Precision(Format.BF16, master=True),
    "fp16-master": Precision(Format.FP16, master=True),
}

INFERENCE: dict[str, Format] = {"fp32": Format.FP32, "bf16": Format.BF16, "fp16": Format.FP16}
