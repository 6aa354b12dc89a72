"""Checked values out of a ``quantization_config``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from memcalc.models.reader import shown
from memcalc.quantisation import known, scheme_for
from memcalc.quantisation.modules import MOST, Modules, modules
from memcalc.quantisation.published import Published

FIELD = "model.config.quantization_config"


class Unknown(ValueError):
    """Something in the configuration that no reader understands."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A ``quantization_config`` and the method that it names."""

    method: str
    raw: Mapping[str, Any]

    def whole(self, *names: str, default: int | None = None) -> int:
        """A whole number under the first of ``names`` that is there."""
        value = self.any(*names)
        if value is None and default is not None:
            return default
        if isinstance(value, bool) or not isinstance(value, int):
            raise Unknown(f"{names[0]} must be a whole number, not {shown(value)}")
        return value

    def flag(self, name: str, default: bool = False) -> bool:
        value = self.raw.get(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise Unknown(f"{name} must be true or false, not {shown(value)}")
        return value

    def word(self, name: str, default: str = "") -> str:
        value = self.raw.get(name)
        if value is None:
            return default
        if not isinstance(value, str):
            raise Unknown(f"{name} must be a word, not {shown(value)}")
        return value.casefold()

    def any(self, *names: str) -> Any:
        return next((self.raw[one] for one in names if self.raw.get(one) is not None), None)

    def modules(self, *names: str) -> Modules:
        """The modules that are listed under the first of ``names`` that is there."""
        return modules(listed(self.any(*names), names[0]))

    def found(self, weights: str, **more: Any) -> Published:
        """The answer, if the format's sizes are ones that it can have."""
        if not known(weights) or scheme_for(weights) is None:
            raise Unknown(f"{weights} is no format that is known")
        return Published(self.method, weights, **more)


def listed(value: Any, name: str) -> Sequence[str]:
    """A list of names; none is an empty one."""
    if value is None:
        return ()
    if not isinstance(value, list | tuple) or len(value) > MOST or not all(isinstance(one, str) for one in value):
        raise Unknown(f"{name} must be a list of names, not {shown(value)}")
    return value
