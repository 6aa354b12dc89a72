"""One call into NVML: it answers or fails softly, and what failed is remembered in words."""

from __future__ import annotations

from typing import Any

# What NVML's return codes mean to somebody who just wants to see a GPU (nvml.h, nvmlReturn_t).
REASONS = {
    1: "the NVIDIA driver stopped answering",
    3: "the driver does not support it on this GPU",
    4: "permission was denied",
    6: "the driver does not find it",
    9: "the NVIDIA driver is not loaded",
    10: "the driver took too long",
    12: "no NVIDIA driver library was found",
    13: "this driver is too old to tell",
    15: "the GPU has fallen off the bus",
    16: "the GPU needs a reset",
    17: "the operating system has blocked it",
    18: "the NVIDIA driver was updated and the machine has not been restarted",
    21: "the driver has no figure yet",
    28: "the GPU is no longer there",
    999: "the driver reported an unknown error",
}
UNSUPPORTED = REASONS[3]
TOO_OLD = REASONS[13]
USELESS = frozenset((1, 9, 18))
"""Codes after which this session, and the library as it was loaded, are of no more use: not initialised (any longer),
no driver, another version."""
TROUBLE = frozenset((15, 16, 28))
"""Codes that a new session may mend: a device was lost and came back. (999 is no such sign: under WSL every reading has
it, for the second version of the memory query.)"""


def reason(error: Exception) -> str:
    """An exception of the binding in words."""
    code = getattr(error, "value", 0)
    if code in REASONS:
        return REASONS[code]
    # A binding without the function, or without its argument.
    return TOO_OLD if isinstance(error, AttributeError | TypeError) else str(error) or type(error).__name__


class Nvml:
    """An open NVML session. ``problems`` are worth a word to everybody, ``codes`` all return codes of the reading."""

    def __init__(self, nvml: Any) -> None:
        self.binding = nvml
        self.problems: dict[str, None] = {}
        self.codes: set[int] = set()
        # An older binding may lack a function or an argument; neither is worth more than a missing field. A driver
        # that reports four billion processes makes the binding ask for as much memory.
        self.failures = (nvml.NVMLError, AttributeError, TypeError, ValueError, OSError, MemoryError, OverflowError)

    def begin(self) -> None:
        """A new reading begins."""
        self.problems.clear()
        self.codes.clear()

    def call(self, function: str, *arguments: Any, **named: Any) -> tuple[Any, str]:
        """(answer, "") or (None, the reason why there is none)."""
        try:
            answer = getattr(self.binding, function)(*arguments, **named)
        except self.failures as error:
            code = getattr(error, "value", None)
            if isinstance(code, int):
                self.codes.add(code)
            return None, reason(error)
        return (answer.decode("utf-8", "replace") if isinstance(answer, bytes) else answer), ""

    def ask(self, what: str, function: str, *arguments: Any, **named: Any) -> Any:
        """NVML's answer, or None with a remembered problem; without a ``what`` it is not worth remembering."""
        answer, why = self.call(function, *arguments, **named)
        if why and what:
            self.problems[f"{what}: {why}"] = None
        return answer
