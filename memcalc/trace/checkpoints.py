"""What checkpointed blocks keep: their inputs, and with ``selective-ops`` the results of selected operators."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch.utils.checkpoint import create_selective_checkpoint_contexts
from transformers.modeling_layers import GradientCheckpointingLayer

from memcalc.errors import ModelError
from memcalc.trace.ledger import Ledger
from memcalc.trace.recipe import Recipe

aten = torch.ops.aten
SELECTED = [
    aten.mm.default,
    aten.addmm.default,
    aten.bmm.default,
    aten.baddbmm.default,
    aten._scaled_dot_product_flash_attention.default,
    aten._scaled_dot_product_efficient_attention.default,
]
"""Operators whose results ``selective-ops`` keeps: matrix products and the attention kernels."""


class Selected:
    """torch's selective checkpointing with these operators; remembers what the blocks of a pass have kept."""

    def __init__(self) -> None:
        self.kept: list[Any] = []

    def contexts(self) -> tuple[Any, Any]:
        """The two contexts of one block: its forward pass, and the one that is made in backward. torch's attention
        composite adds its mask in place to a kept product; that must be allowed."""
        first, again = create_selective_checkpoint_contexts(SELECTED, allow_cache_entry_mutation=True)
        self.kept.append(first.storage)
        return first, again

    def claim(self, ledger: Ledger) -> None:
        """Count what the blocks kept so far with the activations."""
        for storage in self.kept:
            for entries in storage.values():
                for entry in entries.values():
                    for one in torch.utils._pytree.tree_leaves(entry):
                        if isinstance(getattr(one, "val", None), torch.Tensor):
                            ledger.claim(one.val, "activations")
        self.kept.clear()


def switch_on(model: torch.nn.Module, recipe: Recipe) -> None:
    """Checkpoint every block of ``model``."""
    switch: Any = getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable
    if recipe.checkpointing == "full":
        switch()
        return
    if hasattr(model, "checkpointed_blocks"):
        raise ModelError("the model's own switch checkpoints whole blocks", "training.checkpointing", ["none", "full"])
    selected = Selected()
    switch({"use_reentrant": False, "context_fn": selected.contexts})
    for block in blocks(model):
        block.selected_results = selected


def blocks(model: torch.nn.Module) -> list[Any]:
    """The blocks that transformers, or the model itself, checkpoints."""
    if hasattr(model, "checkpointed_blocks"):
        return list(model.checkpointed_blocks())
    return [m for m in model.modules() if isinstance(m, GradientCheckpointingLayer)]


@contextlib.contextmanager
def claimed(model: torch.nn.Module, recipe: Recipe, ledger: Ledger) -> Iterator[None]:
    """What a checkpointed block is given, and what it keeps, stays until its recomputation: activations."""
    if recipe.task != "train" or recipe.checkpointing not in ("full", "selective-ops"):
        yield
        return

    def given(_: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        for value in torch.utils._pytree.tree_leaves((args, kwargs)):
            if isinstance(value, torch.Tensor):
                ledger.claim(value, "activations")

    def left(block: Any, *_: object) -> None:
        if hasattr(block, "selected_results"):
            block.selected_results.claim(ledger)

    handles = []
    for block in blocks(model):
        handles.append(block.register_forward_pre_hook(given, with_kwargs=True))
        handles.append(block.register_forward_hook(left))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
