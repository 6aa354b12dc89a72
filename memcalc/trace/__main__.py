"""``python -m memcalc.trace FILE``: trace the scenarios of a JSON file (one, or a list; ``-`` reads standard input)."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from memcalc.errors import MemcalcError
from memcalc.trace import trace


def main(arguments: list[str]) -> int:
    """Print the traces as JSON on standard output, a progress line for each on standard error."""
    if len(arguments) != 1 or arguments[0] in ("-h", "--help"):
        print(__doc__, file=sys.stderr)
        return 0 if arguments in (["-h"], ["--help"]) else 2
    text = sys.stdin.read() if arguments[0] == "-" else Path(arguments[0]).read_text()
    given = json.loads(text)
    scenarios = given if isinstance(given, list) else [given]
    results: list[dict[str, Any]] = []
    status = 0
    for number, scenario in enumerate(scenarios, 1):
        start = time.monotonic()
        try:
            found = trace(scenario)
        except MemcalcError as error:
            results.append(error.as_dict())
            status = 2
            print(f"{number}/{len(scenarios)} {error.message}", file=sys.stderr)
            continue
        results.append(
            {
                **found.expect(),
                "component_peak": dict(found.component_peak),
                "kernels": dict(found.kernels),
                "largest": [
                    {"size": t.size, "component": t.component, "op": t.op, "shape": list(t.shape), "dtype": t.dtype}
                    for t in found.live_at_peak[:20]
                ],
            }
        )
        took = time.monotonic() - start
        print(f"{number}/{len(scenarios)} {found.tensors:,} bytes in {found.phase} ({took:.1f} s)", file=sys.stderr)
    print(json.dumps(results if isinstance(given, list) else results[0], indent=1))
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
