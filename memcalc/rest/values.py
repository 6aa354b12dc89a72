"""What can be switched on in a run, and the lines of its answer."""

from __future__ import annotations

from dataclasses import dataclass

from memcalc.estimate import Estimate


@dataclass(frozen=True, slots=True)
class Rest:
    """Which parts of a run are switched on. ``evaluation``: sequences at once (0: off). ``generation``: (sequences,
    prompt tokens, new tokens) of samples made during training. ``preference``: ``dpo``, ``grpo`` or nothing.
    ``completion``: new tokens of a GRPO rollout, the scenario's length being the prompt's. ``reference``: a frozen
    copy of the policy is kept (GRPO: only if beta is not 0). ``reward``: a reward model of the catalogue."""

    evaluation: int = 0
    generation: tuple[int, int, int] | None = None
    preference: str | None = None
    completion: int = 256
    reference: bool = True
    reward: str | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """One moment on the card, or one store in the computer's memory (``host``) or on ``disk``; bytes, (low, high).
    ``formula`` in words with its numbers, ``source`` where the rule was read."""

    key: str
    title: str
    where: str
    low: int
    high: int
    formula: str
    source: str


@dataclass(frozen=True, slots=True)
class WholeRun:
    """All lines; what the device has to hold at the highest of its moments (low, high); the verdict if there is a card
    and what was assumed."""

    training: Estimate
    lines: tuple[Line, ...]
    low: int
    high: int
    state: str
    limit: int | None
    assumptions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Standing:
    """What stands on the card between steps."""

    weights: int
    states: int
    others: int

    @property
    def total(self) -> int:
        return self.weights + self.states + self.others
