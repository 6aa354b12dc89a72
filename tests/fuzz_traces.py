"""Hunt for errors: random scenarios over decoders and encoders, each traced and compared with the estimate.

    python tests/fuzz_traces.py                      100 scenarios from seed 0
    python tests/fuzz_traces.py 500 --seed 7         more of them
    python tests/fuzz_traces.py --family olmo2 --only precision=bf16-mixed,method=lora

Needs the extra ``trace``. Prints every scenario whose peak, phases, components, parameters or persistent bytes differ
by more than ``--tolerance`` (0.5 %), as JSON that ``python -m memcalc trace -`` understands; exit status 1 if any
does. What the core or the tracer refuses is counted, not compared.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

import memcalc
from memcalc.errors import MemcalcError
from tests.fuzz_experts import EXPERTS
from tests.fuzz_families import FAMILIES
from tests.fuzz_others import OTHERS
from tests.fuzz_settings import inference, training

PHASES = {"fwd": "forward", "bwd": "backward", "opt": "optimizer"}
ALL = FAMILIES | EXPERTS | OTHERS
COMPONENTS = ("weights", "gradients", "optimizer", "activations", "kv_cache", "temporary")


def draw(rng: random.Random, family: str, task: str | None = None) -> dict[str, Any]:
    """A scenario: a small configuration of ``family``, a task (``task``, if given), its settings."""
    config = ALL[family](rng)
    precise = (
        ("bf16",) * 3
        if family in EXPERTS or family == "qwen3_next"
        else ("fp32", "bf16", "fp16", "bf16-mixed", "bf16-mixed", "fp16-mixed", "bf16-master", "fp16-master")
    )
    train = rng.random() < 0.75 if task is None else task == "train"
    scenario: dict[str, Any] = {
        "model": {"config": config},
        "task": "train" if train else "infer",
        "precision": rng.choice(precise if train else precise[:3]),
        "batch": rng.choice((1, 1, 2, 3, 4)),
        "attention": rng.choice(("sdpa", "sdpa", "sdpa", "flash", "efficient", "math", "eager")),
        "attention_mask": rng.choice(("none", "none", "none", "padded")),
    }
    if train:
        scenario["seq_len"] = rng.choice((1, 2, 7, 16, 33, 64, 100, 129, 256, 257, 500, 1024))
        scenario["training"] = training(rng)
        if family == "distilbert" and "lora" in scenario["training"]:  # PEFT cannot wrap its pre_classifier twice
            scenario["training"]["lora"]["targets"] = ["q_lin", "v_lin", "lin1", "lin2"]
    else:
        scenario["inference"] = inference(rng)
    return scenario


def differences(scenario: dict[str, Any], tolerance: float) -> tuple[float, list[str]]:
    """The relative error of ``peak.tensors``, and everything that differs by more than ``tolerance``."""
    from memcalc.trace import trace

    found = memcalc.estimate(scenario)
    expected = trace(scenario).expect()
    total = expected["tensors"]
    error = found.peak["tensors"] / total - 1
    settings = scenario.get("training", {})
    if settings.get("optimizer") == "radam" and settings.get("optimizer_impl") == "for-loop":
        return 0.0, []  # it needs most from its sixth step on, which the tracer does not reach
    wrong = [] if abs(error) <= tolerance else [f"peak {error:+.2%}"]
    for name in ("total", "trainable", "embedding"):
        if found.parameters[name] != expected["parameters"][name]:
            wrong.append(f"{name} parameters {found.parameters[name]} for {expected['parameters'][name]}")
    if abs(found.persistent - expected["persistent"]) > tolerance * total:
        wrong.append(f"persistent {found.persistent} for {expected['persistent']}")
    for name in COMPONENTS:
        if abs(found.at_peak[name] - expected["at_peak"][name]) > tolerance * total and abs(error) <= tolerance:
            wrong.append(f"{name} at the peak {found.at_peak[name]} for {expected['at_peak'][name]}")
    phases = {(one["name"], one["step"]): one["tensors"] for one in found.phases}
    for at, size in _phases(expected["phases"]).items():
        if at in phases and abs(phases[at] - size) > max(tolerance * size, 2048):
            wrong.append(f"{at[0]} {at[1]} {phases[at] / size - 1:+.2%}")
    return error, wrong


def _phases(traced: dict[str, int]) -> dict[tuple[str, int], int]:
    """The traced peaks of a training step's phases; the largest micro-batch stands for its phase."""
    found: dict[tuple[str, int], int] = {}
    for key, size in traced.items():
        first, _, last = key.partition(".")
        name = PHASES.get(last.rpartition(".")[2])
        if first.startswith("iter") and name and size:
            at = (name, int(first[4:]))
            found[at] = max(found.get(at, 0), size)
    return found


def _wanted(pairs: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """``precision=bf16,method=lora`` as a change to a scenario: fields of the scenario or of its training."""

    def change(scenario: dict[str, Any]) -> dict[str, Any]:
        for pair in filter(None, pairs.split(",")):
            name, _, value = pair.partition("=")
            place = scenario if name in scenario or name == "seq_len" else scenario.get("training", {})
            place[name] = json.loads(value) if value[:1].isdigit() or value in ("true", "false") else value
            if value in ("lora", "dora", "qlora"):
                place.setdefault("lora", {"r": 8, "targets": "all-linear"})
        return scenario

    return change


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("count", nargs="?", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--family", default="", help="names with commas")
    parser.add_argument("--only", default="", help="fields held fixed: precision=bf16,method=lora")
    parser.add_argument("--tolerance", type=float, default=0.005)
    given = parser.parse_args()
    names = [one for one in given.family.split(",") if one] or list(ALL)
    task = dict(pair.split("=") for pair in given.only.split(",") if pair).get("task")
    errors: list[float] = []
    bad, refused = 0, Counter[str]()
    for number in range(given.count):
        rng = random.Random(f"{given.seed}/{number}")
        family = names[number % len(names)]
        scenario = _wanted(given.only)(draw(rng, family, task))
        try:
            error, wrong = differences(scenario, given.tolerance)
        except MemcalcError as refusal:
            refused[f"{refusal.field}: {refusal.message}"] += 1
            continue
        except Exception as failure:  # model code or the estimate itself
            bad += 1
            print(f"{number} {family}: {type(failure).__name__} {failure}\n  {json.dumps(scenario)}", flush=True)
            continue
        errors.append(abs(error))
        if wrong:
            bad += 1
            print(f"{number} {family}: {'; '.join(wrong)}\n  {json.dumps(scenario)}", flush=True)
    for reason, times in refused.most_common():
        print(f"refused {times} times: {reason}")
    if errors:
        top = sorted(errors)
        print(
            f"{len(errors)} compared: median {statistics.median(errors):.4%}, nineteen of twenty within "
            f"{top[min(len(top) - 1, int(0.95 * len(top)))]:.4%}, worst {top[-1]:.4%}; {bad} differ somewhere"
        )
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
