"""memcalc: where GPU memory goes, in training and inference.

>>> import memcalc
>>> answer = memcalc.estimate({"model": "Llama-3.1-8B", "task": "infer", "hardware": {"gpu": "24GB"}})
>>> answer.peak["phase"], answer.fit["verdict"]
('prefill', 'fits')
"""

from memcalc.allocator.exact import replayed
from memcalc.errors import HardwareError, MemcalcError, ModelError, ScenarioError
from memcalc.estimate import Estimate, estimate
from memcalc.explain import Timeline, timeline
from memcalc.scenario import Scenario
from memcalc.sweep import sweep

__version__ = "0.1.0"

__all__ = [
    "Estimate",
    "HardwareError",
    "MemcalcError",
    "ModelError",
    "Scenario",
    "ScenarioError",
    "Timeline",
    "estimate",
    "replayed",
    "sweep",
    "timeline",
]
