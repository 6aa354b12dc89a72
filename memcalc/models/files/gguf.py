"""A model described by its GGUF file, here or on the Hub; all parts of a split file together.

The configuration comes from the metadata, and must give exactly the tensors that the file holds, block by block:
a file that the program does not match is refused with the difference.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from memcalc.architectures.layers import Maker
from memcalc.architectures.listing import listing
from memcalc.architectures.programs import PROGRAMS
from memcalc.architectures.spec import ModelSpec
from memcalc.errors import ModelError
from memcalc.formats import Format
from memcalc.models import config
from memcalc.models.description import ModelDescription, StoredWeights
from memcalc.models.files import hub
from memcalc.models.files.gguf_config import config as configuration
from memcalc.models.files.gguf_header import FIELD, Header, Tensor, read
from memcalc.quantisation.gguf import tensor_bytes
from memcalc.quantisation.weight import Weight

PART = re.compile(r"-(\d{5})-of-(\d{5})\.gguf$")
BESIDE = re.compile(r"rope_freqs|rope_factors_|exp_probs_b|\.scale$|\.input_scale$")
"""Tensors that files hold and transformers' models compute or keep as buffers: tables of rotary frequencies, a bias of
the router's choice, a scale for each matrix."""
MOST_PARTS = 1000
NOTE = (
    "a GGUF file: llama.cpp, Ollama, vLLM and SGLang load its blocks as they are; everything else (transformers, "
    "training) turns them back into the scenario's precision. Activation and dropout are the family's usual ones"
)


@dataclass(frozen=True, eq=False)
class Whole:
    """The header of a file, or of all parts of a split one; ``name``: the first file's, ``bytes``: of all. Compared by
    identity: a header is large, and read once."""

    header: Header
    name: str
    bytes: int

    def config(self) -> dict[str, Any]:
        """The configuration that the metadata describes."""
        return configuration(self.header)

    @property
    def called(self) -> str:
        """What the model calls itself, else the file's name."""
        known = self.header.metadata.get("general.name")
        said = known if isinstance(known, str) and known.strip() and known.isprintable() else ""
        return (said or self.name.removesuffix(".gguf")).strip()[:80]


def describe(place: Any, allow_files: bool) -> ModelDescription:
    """The model in the file at ``place``: a path (only if ``allow_files``), or ``org/name:file`` on the Hub."""
    return _described(whole(place, allow_files))


def whole(place: Any, allow_files: bool) -> Whole:
    """The headers at ``place``."""
    if not isinstance(place, str) or not place:
        raise ModelError("model.gguf must be a path or org/name:file", FIELD)
    remote = hub.file_of(place)
    if remote is not None:
        return _from_hub(tuple(replace(remote, name=one) for one in parts(remote.name)), allow_files)
    if not allow_files:
        raise ModelError("a file of the server's cannot be named here: org/name:file on the Hub can", FIELD)
    path = Path(place).expanduser()
    try:
        paths = [path if path.name == one else path.with_name(one) for one in parts(path.name)]
        return _from_disk(tuple((str(one), one.stat().st_mtime_ns, one.stat().st_size) for one in paths))
    except OSError as error:
        raise ModelError(f"{error.filename or place} cannot be read: {error.strerror or error}", FIELD) from error


def parts(name: str) -> list[str]:
    """The names of all files that ``name`` stands for: itself, or all parts of a split file.

    >>> parts("m-00001-of-00002.gguf")
    ['m-00001-of-00002.gguf', 'm-00002-of-00002.gguf']
    """
    found = PART.search(name)
    if found is None:
        return [name]
    last = int(found[2])
    if not 1 <= last <= MOST_PARTS:
        raise ModelError(f"{last:,} parts are not plausible", FIELD)
    return [f"{name[: found.start()]}-{one:05}-of-{last:05}.gguf" for one in range(1, last + 1)]


@lru_cache(maxsize=32)
def _from_disk(files: tuple[tuple[str, int, int], ...]) -> Whole:
    headers = []
    for path, _, _ in files:
        with open(path, "rb") as stream:
            headers.append(read(stream))
    return _together(headers, Path(files[0][0]).name, sum(size for _, _, size in files))


@lru_cache(maxsize=32)
def _from_hub(files: tuple[hub.HubFile, ...], allow_files: bool) -> Whole:
    headers, size = [], 0
    for one in files:
        with hub.opened(one, allow_files, FIELD) as stream:
            headers.append(read(stream))
        size += _file_bytes(headers[-1])
    return _together(headers, files[0].name.rpartition("/")[2], size)


def _together(headers: Sequence[Header], name: str, size: int) -> Whole:
    tensors = tuple(one for header in headers for one in header.tensors)
    return Whole(Header({**headers[-1].metadata, **headers[0].metadata}, tensors, headers[0].end), name, size)


@lru_cache(maxsize=32)
def _described(found: Whole) -> ModelDescription:
    return described(found.config(), found.header.tensors, found.called, found.bytes, f"header of {found.name}")


def described(
    said: Mapping[str, Any], tensors: Sequence[Tensor], name: str, size: int, source: str = "header of a GGUF file"
) -> ModelDescription:
    """The model of a configuration and of tensors that must be its program's; ``size`` of the file in bytes."""
    spec = config.describe(said).spec
    _check(spec, tensors)
    kept = StoredWeights(tuple((_weight(one), one.kind) for one in tensors), size)
    return ModelDescription(name, spec, "program", (NOTE,), source, kept)


def _file_bytes(header: Header) -> int:
    """Bytes up to the end of the last tensor."""
    return header.start + max((one.offset + tensor_bytes(_weight(one), one.kind) for one in header.tensors), default=0)


def _layer(name: str) -> int | None:
    found = re.match(r"blk\.(\d{1,6})\.", name)
    return int(found[1]) if found else None


def _weight(one: Tensor) -> Weight:
    columns, *rest = one.shape
    rows = rest[0] if rest else 1
    copies = 1
    for more in rest[1:]:
        copies *= more
    words = one.name.removesuffix(".weight").split(".")
    kind = "bias" if one.name.endswith(".bias") else "norm" if words[-1].endswith("norm") else words[-1]
    return Weight(one.name, kind, _layer(one.name), rows, columns, copies)


def _check(spec: ModelSpec, tensors: Sequence[Tensor]) -> None:
    """Refuse a file whose tensors are not the program's, block by block."""
    wanted = _counts(listing(PROGRAMS[spec.family](spec, Maker(Format.BF16))))
    found = _counts(_weight(one) for one in tensors if not BESIDE.search(one.name))
    for layer in sorted({*wanted, *found}, key=lambda one: -1 if one is None else one):
        if wanted[layer] != found[layer]:
            where = "outside the blocks" if layer is None else f"in block {layer + 1}"
            raise ModelError(
                f"the file holds {found[layer]:,} values {where}, the program for {spec.family} has {wanted[layer]:,}: "
                "the file is incomplete, or of a variant that has no program yet",
                FIELD,
            )


def _counts(weights: Iterable[Weight]) -> Counter[int | None]:
    found: Counter[int | None] = Counter()
    for one in weights:
        found[one.layer] += one.count
    return found
