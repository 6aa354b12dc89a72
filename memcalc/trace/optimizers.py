"""The optimizers of the contract as torch, transformers make them, and the fp32 master copies around them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch

from memcalc.errors import ScenarioError
from memcalc.trace.ledger import Ledger
from memcalc.trace.package_optimizers import OPTIONAL, Facts, made
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


class Both:
    """Two optimizers stepped one after the other (Muon for the matrices, AdamW for the rest)."""

    def __init__(self, *parts: torch.optim.Optimizer) -> None:
        self.parts = [one for one in parts if one is not None]
        self.state = {}
        for one in self.parts:
            self.state.update(one.state)

    def step(self) -> None:
        """Step each, then look at what they keep."""
        for one in self.parts:
            one.step()
            self.state.update(one.state)


def _hidden(parameters: list[torch.nn.Parameter], hidden: set[int]) -> tuple[list[Any], list[Any]]:
    matrices = [p for p in parameters if id(p) in hidden]
    return matrices, [p for p in parameters if id(p) not in hidden]


def _muon(parameters: list[torch.nn.Parameter], hidden: set[int], recipe: Recipe) -> Both:
    matrices, rest = _hidden(parameters, hidden)
    fused = recipe.optimizer_impl == "fused"
    implementation = {"fused": True} if fused else {"foreach": recipe.optimizer_impl == "foreach"}
    other = torch.optim.AdamW(rest, lr=RATE, **implementation) if rest else None
    return Both(torch.optim.Muon(matrices, lr=RATE) if matrices else None, other)


def build_optimizer(parameters: list[torch.nn.Parameter], recipe: Recipe, facts: Facts) -> Any:
    """The optimizer of ``recipe`` over ``parameters``, with the implementation that the recipe asks for."""
    if recipe.optimizer == "muon":
        return _muon(parameters, facts.hidden, recipe)
    if recipe.optimizer in OPTIONAL:
        return made(parameters, recipe, facts, RATE)
    options = {k: v for k, v in recipe.optimizer_options.items() if k != "rank"}
    if recipe.optimizer == "adafactor-hf":
        from transformers.optimization import Adafactor

        return Adafactor(parameters, lr=RATE, scale_parameter=False, relative_step=False, **options)
    if recipe.optimizer not in _TORCH:
        raise ScenarioError(
            f"the tracer has no optimizer {recipe.optimizer!r}",
            "training.optimizer",
            [*_TORCH, "adafactor-hf", "muon", *OPTIONAL],
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


def states(optimizer: Any) -> Iterator[torch.Tensor]:
    """Every tensor that the optimizer keeps between steps."""
    for state in optimizer.state.values():
        for value in state.values():
            if isinstance(value, torch.Tensor):
                yield value
            elif isinstance(getattr(value, "ortho_matrix", None), torch.Tensor):
                yield value.ortho_matrix


class Stepper:
    """``optimizer.step()`` of the contract: plain, or over fp32 master copies of 16-bit parameters.

    With master copies: they are made with the optimizer; a step casts all gradients to fp32, steps the masters,
    lets the fp32 gradients go and copies the masters back into the parameters.
    """

    def __init__(
        self, parameters: list[torch.nn.Parameter], recipe: Recipe, ledger: Ledger, facts: Facts | None = None
    ) -> None:
        self.parameters = parameters
        self.ledger = ledger
        # Parameters that are fp32 already (LoRA adapters, say) are stepped as they are.
        self.narrow = [p for p in parameters if recipe.master and p.dtype is not torch.float32]
        self.masters = [p.detach().float().requires_grad_() for p in self.narrow]
        for master in self.masters:
            ledger.claim(master, "optimizer")
        copies = iter(self.masters)
        narrow = {id(p) for p in self.narrow}
        stepped = [next(copies) if id(p) in narrow else p for p in parameters]
        facts = facts or Facts()
        pairs = list(zip(parameters, stepped, strict=True))
        facts = replace(
            facts,
            hidden={id(q) for p, q in pairs if id(p) in facts.hidden},
            names={id(q): facts.names.get(id(p), "") for p, q in pairs},
        )
        self.optimizer = build_optimizer(stepped, recipe, facts)
        self.claim_states()
        # A moving average of the weights, updated in place after each step.
        self.average = [p.detach().clone() for p in parameters] if recipe.ema else []
        for copy in self.average:
            ledger.claim(copy, "optimizer")

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
