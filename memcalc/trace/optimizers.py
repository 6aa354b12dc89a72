"""The optimizers of the contract as torch, transformers make them, and the fp32 master copies around them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from memcalc.errors import ScenarioError
from memcalc.trace.ledger import Ledger
from memcalc.trace.recipe import Recipe

RATE = 1e-4
"""Learning rate; memory does not depend on it as long as it is a plain number."""

_TORCH: dict[str, tuple[str, dict[str, Any], bool]] = {
    # name: (class in torch.optim, fixed options, whether a fused kernel exists on CUDA)
    "adamw": ("AdamW", {}, True),
    "adam": ("Adam", {}, True),
    "sgd": ("SGD", {}, True),
    "sgd-momentum": ("SGD", {"momentum": 0.9}, True),
    "adagrad": ("Adagrad", {}, False),
    "rmsprop": ("RMSprop", {}, False),
    "adafactor": ("Adafactor", {}, False),
    "nadam": ("NAdam", {}, False),
    "radam": ("RAdam", {}, False),
    "adamax": ("Adamax", {}, False),
    "adadelta": ("Adadelta", {}, False),
}


def build_optimizer(parameters: list[torch.nn.Parameter], recipe: Recipe) -> torch.optim.Optimizer:
    """The optimizer of ``recipe`` over ``parameters``, with the implementation that the recipe asks for."""
    options = {k: v for k, v in recipe.optimizer_options.items() if k != "rank"}
    if recipe.optimizer == "adafactor-hf":
        from transformers.optimization import Adafactor

        return Adafactor(parameters, lr=RATE, scale_parameter=False, relative_step=False, **options)
    if recipe.optimizer not in _TORCH:
        raise ScenarioError(
            f"the tracer has no optimizer {recipe.optimizer!r}", "training.optimizer", [*_TORCH, "adafactor-hf"]
        )
    name, fixed, has_fused = _TORCH[recipe.optimizer]
    implementation: dict[str, bool] = {"foreach": recipe.optimizer_impl == "foreach"}
    if recipe.optimizer_impl == "fused":
        if not has_fused:
            raise ScenarioError(
                f"torch has no fused {recipe.optimizer}", "training.optimizer_impl", ["foreach", "for-loop"]
            )
        implementation = {"fused": True}
    return getattr(torch.optim, name)(parameters, lr=RATE, **{**fixed, **options}, **implementation)


def states(optimizer: torch.optim.Optimizer) -> Iterator[torch.Tensor]:
    """Every tensor that the optimizer keeps between steps."""
    for state in optimizer.state.values():
        for value in state.values():
            if isinstance(value, torch.Tensor):
                yield value


class Stepper:
    """``optimizer.step()`` of the contract: plain, or over fp32 master copies of 16-bit parameters.

    With master copies: they are made with the optimizer; a step casts all gradients to fp32, steps the masters,
    lets the fp32 gradients go and copies the masters back into the parameters.
    """

    def __init__(self, parameters: list[torch.nn.Parameter], recipe: Recipe, ledger: Ledger) -> None:
        self.parameters = parameters
        self.ledger = ledger
        # Parameters that are fp32 already (LoRA adapters, say) are stepped as they are.
        self.narrow = [p for p in parameters if recipe.master and p.dtype is not torch.float32]
        self.masters = [p.detach().float().requires_grad_() for p in self.narrow]
        for master in self.masters:
            ledger.claim(master, "optimizer")
        copies = iter(self.masters)
        narrow = {id(p) for p in self.narrow}
        self.optimizer = build_optimizer([next(copies) if id(p) in narrow else p for p in parameters], recipe)
        self.claim_states()

    def claim_states(self) -> None:
        """Tell the ledger what the optimizer keeps."""
        for tensor in states(self.optimizer):
            self.ledger.claim(tensor, "optimizer")

    def step(self) -> None:
        """One step; states that appear in it are claimed for the optimizer."""
        for master, parameter in zip(self.masters, self.narrow, strict=True):
            if parameter.grad is not None:
                master.grad = parameter.grad.float()
        self.optimizer.step()
        for master in self.masters:
            master.grad = None
        if self.masters:
            with torch.no_grad():
                torch._foreach_copy_(self.narrow, self.masters)
        self.claim_states()

    def zero_grad(self, set_to_none: bool) -> None:
        """Drop the gradients, or fill them with zeros in place."""
        live = [p for p in self.parameters if p.grad is not None]
        if set_to_none:
            for p in live:
                p.grad = None
        elif live:
            torch._foreach_zero_([p.grad for p in live])
