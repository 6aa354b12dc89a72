"""A model described by its safetensors files and the config.json beside them
[safetensors README.md, Format: eight bytes of length, a JSON object of dtype, shape and offsets by name].

The configuration says what the model is; the headers must hold as many values as its program has parameters.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from memcalc.architectures.layers import Maker
from memcalc.architectures.programs import PROGRAMS
from memcalc.errors import ModelError
from memcalc.formats import Format
from memcalc.models import config
from memcalc.models.description import ModelDescription

FIELD = "model.safetensors"
LARGEST_HEADER = 100_000_000
"""Bytes: safetensors itself refuses larger ones [safetensors src/tensor.rs: MAX_HEADER_SIZE]."""
LARGEST_INDEX = 64 * 1024 * 1024
INDEX = "model.safetensors.index.json"
BUFFERS = re.compile(r"(rotary_emb\.inv_freq|attn\.(masked_)?bias|attention\.(masked_)?bias)$")
"""Tensors of older checkpoints that today's models compute themselves."""
PLAIN = {"F64", "F32", "F16", "BF16"}


def describe(place: Any, allow_files: bool) -> ModelDescription:
    """The model at ``place``: a .safetensors file, its index, or the folder of them (only if ``allow_files``)."""
    if not isinstance(place, str) or not place:
        raise ModelError("model.safetensors must be a path", FIELD)
    if not allow_files:
        raise ModelError("a file of the server's cannot be named here; its config.json can be brought", FIELD)
    path = Path(place).expanduser()
    try:
        files = _files(path)
        about = files[0].with_name("config.json")
        if not about.exists():
            raise ModelError(
                f"{about} is missing: how many heads share a matrix cannot be read off the tensors' shapes", FIELD
            )
        stamps = tuple((str(one), one.stat().st_mtime_ns) for one in [about, *files])
        return _read(stamps)
    except OSError as error:
        raise ModelError(f"{error.filename or place} cannot be read: {error.strerror or error}", FIELD) from error


def _files(path: Path) -> list[Path]:
    """All files of the model."""
    if path.is_dir():
        found = [one for one in (path / INDEX, path / "model.safetensors") if one.exists()]
        path = found[0] if found else path / "model.safetensors"
    if path.name.endswith(".index.json"):
        listed = _json(path, path.read_bytes() if path.stat().st_size <= LARGEST_INDEX else b"").get("weight_map")
        names = set(listed.values()) if isinstance(listed, Mapping) else set()
        if not names or any(not isinstance(one, str) or Path(one).name != one for one in names):
            raise ModelError(f"{path.name} lists no files of weights", FIELD)
        return [path.with_name(one) for one in sorted(names)]
    beside = path.with_name(INDEX)
    return _files(beside) if re.search(r"-\d{5}-of-\d{5}\.safetensors$", path.name) and beside.exists() else [path]


@lru_cache(maxsize=32)
def _read(stamps: tuple[tuple[str, int], ...]) -> ModelDescription:
    about, *files = (Path(path) for path, _ in stamps)
    if about.stat().st_size > LARGEST_INDEX:
        raise ModelError(f"{about.name} is too large for a config.json", FIELD)
    described = config.describe(_json(about, about.read_bytes()), about.parent.name)
    counts: Counter[str] = Counter()
    names: set[str] = set()
    for one in files:
        for name, tensor in header(one).items():
            if name in names:
                raise ModelError(f"{name[:60]!r} is in two files", FIELD)
            names.add(name)
            if not BUFFERS.search(name):
                counts[_dtype(tensor)] += math.prod(_shape(name, tensor))
    if any("lora_" in one for one in names):
        raise ModelError("these are the weights of an adapter, not of a model", FIELD)
    notes = (*described.assumptions, *_agreement(described, counts, any("lm_head" in one for one in names)))
    return replace(described, assumptions=notes, source=f"config.json and headers of {files[0].parent.name}")


def _agreement(described: ModelDescription, counts: Counter[str], head: bool) -> list[str]:
    """What the headers say about the program: as many values, or ModelError."""
    total = sum(counts.values())
    said = ", ".join(f"{count:,} in {name}" for name, count in counts.most_common())
    spec = described.spec
    if described.published is not None:
        return [f"the files hold {said}: quantised, as their config.json says"]
    if not set(counts) <= PLAIN:
        return [f"the files hold quantised weights ({said}): they are taken in the scenario's format"]
    program = PROGRAMS[spec.family](spec, Maker(Format.BF16))
    wanted = sum(one.count * one.repeat for one in program.parameters)
    if spec.tied and head:
        wanted += spec.vocab * spec.hidden  # files of tied models may hold the table twice
    if total != wanted:
        raise ModelError(
            f"the files hold {total:,} values, the program of their config.json has {wanted:,}: files are missing, or "
            "it is a variant that has no program yet",
            FIELD,
        )
    return [f"the files hold {said}; the scenario's precision decides the format they are loaded in"]


def header(path: Path) -> dict[str, Mapping[str, Any]]:
    """Names of the tensors of a file, with dtype, shape and offsets; ModelError if it is no safetensors file."""
    with path.open("rb") as stream:
        size = int.from_bytes(stream.read(8), "little")
        if not 2 <= size <= LARGEST_HEADER:
            raise ModelError(f"{path.name} is not a safetensors file", FIELD)
        found = _json(path, stream.read(size))
    found.pop("__metadata__", None)
    return found


def _json(path: Path, text: bytes) -> dict[str, Any]:
    return config.parsed(text, path.name, FIELD)


def _dtype(tensor: Any) -> str:
    found = tensor.get("dtype") if isinstance(tensor, Mapping) else None
    if not isinstance(found, str):
        raise ModelError("a tensor's header lacks its dtype", FIELD)
    return found[:12]


def _shape(name: str, tensor: Mapping[str, Any]) -> list[int]:
    shape = tensor.get("shape")
    if not isinstance(shape, list) or any(
        isinstance(one, bool) or not isinstance(one, int) or one < 0 for one in shape
    ):
        raise ModelError(f"{name[:60]!r} has no shape", FIELD)
    return shape
