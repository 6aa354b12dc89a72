"""The one question that every search asks: does this scenario fit, and by how much?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from memcalc.diffusion import estimate_pipeline, is_pipeline
from memcalc.diffusion import understood as pipeline
from memcalc.errors import ScenarioError
from memcalc.estimate import lay
from memcalc.hardware.fit import judge
from memcalc.question import Question
from memcalc.scenario.paths import Json, put
from memcalc.shared import Shared


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a process needs on the device (low, point, high bytes) against ``limit``, the capacity minus the reserve."""

    low: int
    point: int
    high: int
    limit: int
    state: str

    @property
    def excess(self) -> int:
        """Bytes by which the high end is above the limit: it fits where this is not positive."""
        return self.high - self.limit

    @property
    def fits(self) -> bool:
        return self.state == "fits"


def verdict(scenario: Mapping[str, Any], shared: Shared | None = None, allow_files: bool = True) -> Verdict:
    """The verdict on a scenario whose ``hardware`` names a card; the figures are those of ``estimate``.

    >>> verdict({"model": "gpt2", "task": "train", "hardware": {"gpu": "24GB"}}).state
    'fits'
    """
    if is_pipeline(scenario):
        found = of_pipeline(estimate_pipeline(scenario, (shared or Shared()).device))
        if found.state == UNKNOWN:
            raise ScenarioError("a card is needed: name one in hardware.gpu, or give its free memory", "hardware.gpu")
        return found
    laid = lay(scenario, allow_files, shared)
    if laid.device is None:
        raise ScenarioError("a card is needed: name one in hardware.gpu, or give its free memory", "hardware.gpu")
    judged = judge(laid.device, laid.question.scenario.hardware, laid.above.device)
    low, point, high = laid.above.device
    return Verdict(low, point, high, judged["capacity"] - judged["reserve"], judged["verdict"])


UNKNOWN = "unknown"
"""The state of a verdict without a card."""


def of_pipeline(found: Mapping[str, Any]) -> Verdict:
    """The verdict in an image pipeline's estimate; without a card its limit is what it needs."""
    low, high = found["range"]["device"]
    fit = found["fit"]
    limit, state = (fit["capacity"] - fit["reserve"], fit["verdict"]) if fit else (high, UNKNOWN)
    return Verdict(low, found["peak"]["device"], high, limit, state)


def understood(scenario: Mapping[str, Any], allow_files: bool = True) -> Json:
    """The scenario with the lengths filled in that were not given, so that they stay as they are while something else
    is searched. A pipeline's are its pictures' sides, which it has anyway."""
    if is_pipeline(scenario):
        pipeline(scenario)
        return dict(scenario)
    read = Question.read(scenario, allow_files=allow_files).scenario
    asked = dict(scenario)
    if read.target_len is not None:
        asked["target_len"] = read.target_len
    if read.image_size is not None:
        return {**asked, "image_size": read.image_size}
    if read.task == "train":
        return {**asked, "seq_len": read.seq_len}
    return put(asked, "inference.prompt_tokens", read.inference.prompt_tokens)
