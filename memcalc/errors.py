"""The errors memcalc raises, all of them.

MemcalcError            anything memcalc itself refuses
├── ScenarioError       a field of the scenario cannot be understood (names the field, lists the choices)
├── ModelError          a model cannot be described (says what is missing)
└── HardwareError       a GPU cannot be found or read
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class MemcalcError(ValueError):
    """Base of every error that memcalc raises on purpose.

    ``field`` is the scenario's field as a dotted path (``"training.optimizer"``), ``choices`` what it
    may be; both may be empty. ``message`` is a sentence for a person.
    """

    def __init__(self, message: str, field: str = "", choices: Sequence[Any] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        self.choices = list(choices)

    def as_dict(self) -> dict[str, Any]:
        """The error as the command line prints it: ``{"error": {"field", "message", "choices"}}``."""
        return {"error": {"field": self.field, "message": self.message, "choices": self.choices}}


class ScenarioError(MemcalcError):
    """A field of the scenario cannot be understood."""


class ModelError(MemcalcError):
    """A model cannot be described: unknown architecture, missing or impossible configuration."""


class HardwareError(MemcalcError):
    """A GPU is unknown or cannot be read."""
