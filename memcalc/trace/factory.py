"""Any ``torch.nn.Module`` on the fake GPU, for those who have its code at hand and call the tracer from Python.

A factory is a callable without arguments that returns the module, or its name, ``"package.module:callable"``. It is
an argument of the library's functions and never a field of a scenario: a scenario may come from a stranger, and
what it names must not be run.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any

import torch

from memcalc.errors import ModelError

Factory = Callable[[], torch.nn.Module] | str
Batch = Callable[[torch.nn.Module, int], Mapping[str, torch.Tensor]]
"""(the module, rows of a micro-batch) -> the keyword arguments of its ``forward``, tensors on the current device."""


def made(factory: Factory) -> torch.nn.Module:
    """Call the factory (on the current default device) and see that it gave a module."""
    call: Any = factory
    if isinstance(factory, str):
        place, _, name = factory.partition(":")
        try:
            call = importlib.import_module(place)
            for part in name.split("."):
                call = getattr(call, part)
        except (ImportError, AttributeError, ValueError) as error:
            raise ModelError(f"the factory {factory} cannot be found: {error}", "factory") from error
    module = call()
    if not isinstance(module, torch.nn.Module):
        raise ModelError(f"the factory gave {type(module).__name__}, not a torch.nn.Module", "factory")
    return module


def loss_of(outputs: Any) -> torch.Tensor:
    """The loss that a model answers with: ``.loss``, or a tensor of one element."""
    loss = getattr(outputs, "loss", outputs)
    if not isinstance(loss, torch.Tensor) or loss.numel() != 1:
        raise ModelError(
            "a model that is trained must answer with its loss: .loss, or a tensor of one element", "model"
        )
    return loss
