"""Count every catalogue model's parameters with the real model code (needs torch and transformers; not a test).

Each configuration of ``memcalc/data/models.json`` is built on the meta device, where no memory is
allocated, and its unique parameters are counted (tied weights once). The count is printed beside the
independent figure of ``tests/data/parameters.csv``; the exit status is 1 if any differs.

    python tests/record_parameters.py
"""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
CATALOGUE = ROOT / "memcalc" / "data" / "models.json"
PUBLISHED = ROOT / "tests" / "data" / "parameters.csv"


def count(config: dict[str, Any]) -> int:
    """Unique parameters of the model that a config.json describes, built by transformers itself."""
    import torch
    import transformers

    from memcalc.trace.build import head_apart

    config_class = type(transformers.AutoConfig.for_model(config["model_type"]))
    with torch.device("meta"):
        model = getattr(transformers, config["architectures"][0])(config_class.from_dict(dict(config)))
        model.tie_weights()
        if config.get("tie_word_embeddings") is False:
            head_apart(model)  # T5's configuration class ties it all the same
    return sum({id(p): p.numel() for p in model.parameters()}.values())


def main() -> int:
    """Print one line a model: counted, published, equal or not."""
    with PUBLISHED.open(encoding="utf-8", newline="") as file:
        published = {row["name"]: int(row["parameters"]) for row in csv.DictReader(file)}
    catalogue = json.loads(CATALOGUE.read_text(encoding="utf-8"))
    wrong = 0
    for name, entry in catalogue.items():
        counted = count(entry["config"])
        equal = counted == published.get(name) == entry["parameters"]
        wrong += not equal
        print(f"{name:32}{counted:>16,}{published.get(name, 0):>16,}  {'equal' if equal else 'DIFFERENT'}")
    missing = sorted(set(published) - set(catalogue))
    print(f"{len(catalogue)} models, {wrong} different, not in the catalogue: {missing or 'none'}")
    return 1 if wrong or missing else 0


if __name__ == "__main__":
    sys.exit(main())
