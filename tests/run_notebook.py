"""Runs the cells of the documentation's notebook in order, without Jupyter. ``python tests/run_notebook.py --write``
puts what they print into it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
NOTEBOOK = ROOT / "memcalc" / "learn" / "notebook" / "lessons_1_to_4.ipynb"

RUNNER = """
import contextlib, io, json, sys
space, printed = {"__name__": "__main__"}, []
for number, source in enumerate(json.load(sys.stdin), 1):
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        exec(compile(source, f"cell {number}", "exec"), space)
    printed.append(said.getvalue())
json.dump({"printed": printed, "modules": sorted(sys.modules)}, sys.stdout)
"""


def code_cells(notebook: dict[str, Any]) -> list[dict[str, Any]]:
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def stored(cell: dict[str, Any]) -> str:
    """What the notebook shows below a cell."""
    return "".join("".join(output["text"]) for output in cell["outputs"])


def run(notebook: dict[str, Any]) -> tuple[list[str], list[str]]:
    """(what each code cell prints, the modules that were imported), from a process of its own."""
    sources = ["".join(cell["source"]) for cell in code_cells(notebook)]
    done = subprocess.run(
        [sys.executable, "-c", RUNNER], input=json.dumps(sources), capture_output=True, text=True, cwd=ROOT, timeout=300
    )
    if done.returncode:
        raise RuntimeError(done.stderr)
    answer = json.loads(done.stdout)
    return answer["printed"], answer["modules"]


def write() -> None:
    """Run the notebook and keep what its cells print."""
    notebook = json.loads(NOTEBOOK.read_text("utf-8"))
    printed, _ = run(notebook)
    for number, (cell, text) in enumerate(zip(code_cells(notebook), printed, strict=True), 1):
        cell["execution_count"] = number
        cell["outputs"] = [{"name": "stdout", "output_type": "stream", "text": text.splitlines(keepends=True)}]
    NOTEBOOK.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", "utf-8")


if __name__ == "__main__":
    if sys.argv[1:] != ["--write"]:
        sys.exit(__doc__)
    write()
