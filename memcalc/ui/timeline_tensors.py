"""The tensors of the highest instant as rows for a reader: equal ones of all blocks together, largest first."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from memcalc import units
from memcalc.explain import NamedTensor
from memcalc.ui.colours import COMPONENTS, OVERHEAD
from memcalc.ui.ledger import OVERHEAD_LABELS

_BLOCKS = re.compile(r"blocks? (\d+)(?:–(\d+))?\.(.+)")
_COUNTED = re.compile(r"[\d,]+ × ")

#: What an operation's result is, for those who do not know PyTorch's names.
_RESULTS = {
    "mm": "matrix product",
    "bmm": "batched matrix product",
    "add": "sum",
    "mul": "product",
    "to": "copy in another format",
    "cat (cache)": "keys and values of the tokens read so far",
    "clone": "copy",
    "repeat_kv": "keys and values, repeated for each query head",
    "safe_softmax": "attention weights",
    "softmax": "attention weights",
    "flash attention": "attention output",
    "efficient attention": "attention output",
    "logsumexp": "attention's row sums",
    "log_softmax": "log-probabilities of the vocabulary",
    "layer_norm": "normalised values",
    "rms_norm": "normalised values",
    "rsqrt": "scales of a normalisation",
    "embedding": "embedded tokens",
}
_STATES = {
    "exp_avg": "running mean of the gradients",
    "exp_avg_sq": "running mean of the gradients' squares",
    "momentum_buffer": "running sum of the gradients",
    "square_avg": "running mean of the gradients' squares",
    "sum": "sum of the gradients' squares",
}
_OVERHEAD_SOURCES = {
    "workspace": "scratch space of the matrix libraries",
    "cache": "kept by PyTorch's allocator for the next tensors",
    "context": "the CUDA runtime and its kernels",
    "communication": "buffers for other cards",
}


@dataclass(frozen=True)
class Row:
    """Equal tensors: ``count`` of them, ``each`` bytes big, found in ``where``."""

    name: str
    where: str
    component: str
    made: str
    count: int
    shape: str
    format: str
    each: int
    formula: str
    source: str

    @property
    def total(self) -> int:
        return self.count * self.each


def rows(tensors: Iterable[NamedTensor], overhead: Mapping[str, int]) -> list[Row]:
    """All rows, largest first. Their sizes sum to the peak on the card."""
    found: dict[tuple[object, ...], list[NamedTensor]] = {}
    for one in tensors:
        key = (one.component, _parted(one.name)[1], one.op, one.shape, one.format, one.bytes)
        found.setdefault(key, []).append(one)
    listed = [_row(equal) for equal in found.values()]
    listed += [
        Row(OVERHEAD_LABELS[part], "", OVERHEAD, "", 1, "", "", size, "", _OVERHEAD_SOURCES[part])
        for part, size in overhead.items()
    ]
    return sorted(listed, key=lambda row: -row.total)


def of_part(listed: list[Row], part: str) -> list[Row]:
    """The rows of one component, or all of them."""
    return [row for row in listed if row.component == part] if part in (*COMPONENTS, OVERHEAD) else listed


def _parted(name: str) -> tuple[tuple[int, int] | None, str]:
    """``blocks 2–31.mlp.up_proj.weight`` as its blocks and the name within a block."""
    found = _BLOCKS.fullmatch(name)
    if not found:
        return None, name
    return (int(found[1]), int(found[2] or found[1])), found[3]


def _row(equal: list[NamedTensor]) -> Row:
    first = equal[0]
    blocks = [span for span in (_parted(one.name)[0] for one in equal) if span]
    count = sum(one.count for one in equal)
    product = _COUNTED.sub("", first.formula, count=1) if first.count > 1 else first.formula
    return Row(
        name=_called(first, _parted(first.name)[1]),
        where=_span(blocks),
        component=first.component,
        made="" if first.op in ("parameter", "gradient", "buffer", "state", first.name) else first.op,
        count=count,
        shape=" × ".join(f"{dim:,}" for dim in first.shape),
        format=first.format,
        each=first.bytes,
        formula=f"{count:,} × {product}" if count > 1 else product if first.shape else _stated(first),
        source=first.source,
    )


def _stated(one: NamedTensor) -> str:
    """A state's formula is a sentence; the name may be that sentence already."""
    return "" if one.formula == one.name else one.formula


def _called(one: NamedTensor, name: str) -> str:
    """A name for a reader; PyTorch's own stands behind it in brackets."""
    if one.op == "state" and name in _STATES:
        return f"{_STATES[name]} ({name})"
    if name != one.op:
        return name
    if name in _RESULTS:
        return f"{_RESULTS[name]} ({name})"
    bare = re.fullmatch(r"(.+) \((?:input |weight )?gradient\)", name)
    if bare:
        return f"gradient: {_RESULTS[bare[1]]} ({bare[1]})" if bare[1] in _RESULTS else f"gradient: {bare[1]}"
    return name


def _span(blocks: list[tuple[int, int]]) -> str:
    if not blocks:
        return ""
    first, last = min(low for low, _ in blocks), max(high for _, high in blocks)
    return f"block {first}" if first == last else f"blocks {first}–{last}"


def size(row: Row) -> str:
    """``3.75 GiB (4.03 GB)``."""
    return f"{units.both(row.total)}"
