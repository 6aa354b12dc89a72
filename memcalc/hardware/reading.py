"""The child of ``memcalc.hardware.worker``: a line in, a reading out. Run as a module, imported by nobody."""

from __future__ import annotations

import json
import sys

from memcalc.hardware.nvml import Reader


def serve() -> None:
    """Answer each line with a reading as JSON, until the asker is gone or a new process would do better."""
    reader = Reader()
    for _ in sys.stdin:
        print(json.dumps(reader.read().as_json()), flush=True)
        if reader.stale:
            break
    reader.close()


if __name__ == "__main__":
    serve()
