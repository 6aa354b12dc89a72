"""The settings of many GPUs: how many, and how they share the work. No Streamlit in here."""

from __future__ import annotations

from memcalc.ui.form import Json, Setting, get

CARDS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
SPLITS = (1, 2, 4, 8, 16)
STRATEGY_LINES = {
    "ddp": "every card holds everything; gradients lie twice in memory, as such and in buckets",
    "zero1": "DeepSpeed: optimizer states and master weights are divided",
    "zero2": "DeepSpeed: gradients are divided too",
    "zero3": "DeepSpeed: weights are divided too, and gathered layer by layer",
    "fsdp2": "torch's fully_shard: everything is divided, and gathered block by block",
}
STRATEGIES = {"ddp": "DDP", "zero1": "ZeRO stage 1", "zero2": "ZeRO stage 2", "zero3": "ZeRO stage 3",
              "fsdp2": "FSDP2"}  # fmt: skip
OFFLOADS = {"none": "nothing", "optimizer": "optimizer states", "parameters": "weights and states"}


def _strategy(scenario: Json) -> str | None:
    """How several cards share the work; None for one card."""
    many = (get(scenario, "parallel.data") or 1) > 1
    return str(get(scenario, "parallel.strategy") or "ddp") if many else None


def _many(scenario: Json) -> bool:
    return _strategy(scenario) is not None


def _offload(key: str, strategies: tuple[str, ...], *more: str) -> Setting:
    """What moves to the computer's memory, as far as the strategies can."""
    return Setting(
        key, "In the computer's memory", "parallel.offload", "choice", "none",
        "Lies in the computer's own memory and comes to the card when it is needed; the optimizer steps there.",
        shown=OFFLOADS, only=("none", *more), when=lambda scenario: _strategy(scenario) in strategies,
    )  # fmt: skip


MANY = (
    Setting("cards", "Cards that share a batch", "parallel.data", "ladder", 1,
            "Each card takes a micro-batch of its own; gradients are averaged over all of them. Sizes are one card's.",
            CARDS),
    Setting("split", "Cards that share each layer (tensor parallel)", "parallel.tensor", "ladder", 1,
            "Heads, feed-forward and vocabulary are divided between so many cards, each with the same micro-batch.",
            SPLITS),
    Setting("sequence", "Also divide the sequence", "parallel.sequence", "switch", False,
            "Sequence parallelism: what norms keep, and hidden states between layers, are divided too.",
            when=lambda s: (get(s, "parallel.tensor") or 1) > 1),
    Setting("strategy", "How they share", "parallel.strategy", "choice", "ddp",
            "What every card holds whole and what is divided between the cards.",
            shown=STRATEGIES, lines=STRATEGY_LINES, when=_many),
    _offload("away", ("zero1", "zero2"), "optimizer"),
    _offload("away3", ("zero3",), "optimizer", "parameters"),
    _offload("awayfsdp", ("fsdp2",), "parameters"),
    Setting("bucketview", "Gradients as views of the buckets", "parallel.bucket_view", "switch", False,
            "gradient_as_bucket_view=True: gradients lie in DDP's buckets only, not twice.",
            when=lambda s: _strategy(s) == "ddp"),
    Setting("whole", "Blocks stay whole until backward", "parallel.reshard_after_forward", "switch", True,
            "reshard_after_forward=False: weights are gathered once a step instead of twice, and all stay.", wish=False,
            when=lambda s: _strategy(s) == "fsdp2"),
    Setting("buckets", "Hugging Face's bucket sizes", "parallel.buckets", "switch", "deepspeed",
            "“auto” in the configuration: buckets of hidden size squared, not DeepSpeed's 500 million values.",
            wish="auto", when=lambda s: _strategy(s) in ("zero1", "zero2", "zero3")),
    Setting("overlap", "Two buckets (overlap_comm)", "parallel.overlap_comm", "switch", None,
            "Gradients are reduced while backward goes on, with a second bucket.",
            when=lambda s: _strategy(s) in ("zero1", "zero2")),
)  # fmt: skip
