"""Variables that several lessons move, and what they hand to the dashboard's pages."""

from __future__ import annotations

from typing import Final

from memcalc.learn.case import Case
from memcalc.learn.lesson import Variable

TOKENS: Final = Variable(
    "tokens", "Tokens per sequence", tuple(2**power for power in range(7, 16)), 1024,
    "How long each text is. A token is a piece of a word; a page of text has some 500.",
)  # fmt: skip
SEQUENCES: Final = Variable(
    "sequences", "Sequences at once (batch)", (1, 2, 4, 8, 16, 32, 64), 1,
    "How many texts go through the model together.",
)  # fmt: skip
OPTIMIZER: Final = Variable(
    "updates", "Optimizer", ("adamw", "adamw-8bit", "lion", "adafactor", "sgd-momentum", "sgd"), "adamw",
    "The rule that turns gradients into new weights. Kept for every weight: adamw two averages, adamw-8bit the same in "
    "8 bits, lion and sgd-momentum one; adafactor a row and a column for each matrix; sgd nothing.",
    kind="choice",
)  # fmt: skip
TRAINED_IN: Final = Variable(
    "format", "Precision of training", ("fp32", "bf16-mixed", "bf16-master", "bf16"), "bf16-mixed",
    "fp32: all in 32 bits. bf16-mixed: 32-bit weights, computed in 16 bits. bf16-master: 16-bit weights beside a "
    "32-bit copy. bf16: all in 16 bits.",
    kind="choice",
)  # fmt: skip
METHOD: Final = Variable(
    "trained", "What is trained", ("full", "lora", "qlora"), "full",
    "All weights; or only small adapters beside frozen weights (LoRA), which may be kept in 4 bits (QLoRA).",
    {"full": "all weights", "lora": "LoRA adapters", "qlora": "QLoRA adapters"}, "choice",
)  # fmt: skip

PRECISIONS: Final = {
    "fp32": "32 bits throughout",
    "bf16-mixed": "mixed precision: 32-bit weights, computed in bf16",
    "bf16-master": "bf16 weights with a 32-bit master copy",
    "bf16": "16 bits throughout (bf16)",
}


def dashboard(case: Case, **settings: object) -> dict[str, str]:
    """The settings of the dashboard's pages for the reader's model: every one that an earlier visit may have left
    there is said."""
    usual: dict[str, object] = {
        "batch": 1, "seq": 1024, "precision": "bf16-mixed", "optimizer": "adamw", "method": "Full",
        "checkpointing": "false", "infer": "bf16", "new": 128,
    }  # fmt: skip
    model = {"source": "Any size", "exact": case.model} if case.sized else {
        "source": "Known model", "model": case.name}  # fmt: skip
    return {name: str(value) for name, value in {**model, **usual, **settings}.items()}
