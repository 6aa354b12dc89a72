"""The second instrument: real Hugging Face code run on a fake GPU, every tensor followed from birth to death.

``trace(scenario)`` needs torch and transformers (and peft for LoRA); nothing else in memcalc does, and nothing
else imports this package. It answers in seconds, without a GPU, and serves as the judge of the symbolic model.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from memcalc.errors import MemcalcError

if TYPE_CHECKING:
    from memcalc.trace.factory import Batch, Factory
    from memcalc.trace.result import Trace

INSTALL = "pip install -e '.[trace]'"
"""What brings torch, transformers and peft; run in memcalc's folder. Builds for the CPU are enough."""

__all__ = ["INSTALL", "TraceUnavailable", "installed", "trace"]


class TraceUnavailable(MemcalcError):
    """torch or transformers is not installed, so nothing can be traced."""


def installed() -> bool:
    """Whether torch and transformers are there; imports neither."""
    return all(importlib.util.find_spec(name) is not None for name in ("torch", "transformers"))


def trace(
    scenario: Mapping[str, Any],
    modules: bool = False,
    tell: Callable[[str], None] | None = None,
    factory: Factory | None = None,
    batch: Batch | None = None,
) -> Trace:
    """Run a contract scenario on the fake GPU and return what it held, when and for what.

    ``modules`` also records the name of the module in which each tensor was made (a little slower).
    ``tell`` is given the name of each phase as it begins. ``factory`` makes the model instead of ``scenario``'s
    ``model`` (see ``memcalc.trace.factory``), and ``batch`` what it reads, where it has no Hugging Face configuration.
    """
    try:
        import torch  # noqa: F401
        import transformers  # noqa: F401
    except ImportError as error:
        raise TraceUnavailable(f"tracing needs torch and transformers ({error}): {INSTALL}") from error
    from memcalc.trace.session import run_scenario

    return run_scenario(scenario, modules, tell, factory, batch)
