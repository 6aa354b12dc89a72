"""What somebody's ``nvidia-smi`` printed, pasted: the cards of a machine that memcalc cannot reach.

Three forms are read: the usual table (of any driver since 2017; with MIG devices), ``nvidia-smi -q``, and
``nvidia-smi --query-gpu=… --format=csv`` with its header. The text comes from outside: it is bounded, nothing in it
is run, and what cannot be read raises HardwareError with a sentence.

The table shows ``used / total`` and keeps the driver's own reserve to itself (since driver 510 ``used`` leaves it
out, as NVML's second memory call does), so what is free is the total minus both: the reserve is the catalogue's, or
its rule's. The other two forms say what is free.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from memcalc.errors import HardwareError
from memcalc.hardware import gpus
from memcalc.units import GiB, MiB

FIELD = "hardware.free"
LARGEST = 200_000
"""Characters: ``nvidia-smi -q`` of eight cards has some 80,000."""
MOST = 64
"""Cards and MIG devices in one text."""
_TOTAL = 4096 * GiB
"""No card has more memory."""


@dataclass(frozen=True, slots=True)
class Pasted:
    """One card (or MIG device, ``"0:1"``) as its driver printed it; sizes in bytes. ``card`` is its name in the
    catalogue, where one fits; ``reserved`` and ``free`` are computed where the text does not say them (``note``)."""

    device: str
    name: str
    total: int
    used: int
    free: int
    reserved: int
    card: str | None
    note: str = ""


@dataclass(slots=True)
class _Read:
    """What the text says of one card, in MiB; None where it does not. ``parent``: the card that a MIG device is part
    of; ``old``: printed by a driver before 510."""

    device: str
    name: str = ""
    total: float | None = None
    used: float | None = None
    free: float | None = None
    reserved: float | None = None
    parent: str = ""
    old: bool = False


def parse(text: str) -> tuple[Pasted, ...]:
    """The cards in what ``nvidia-smi`` printed. HardwareError says what is wrong with a text that cannot be read."""
    if len(text) > LARGEST:
        raise HardwareError(f"The text is longer than {LARGEST:,} characters: no nvidia-smi prints so much.", FIELD)
    lines = text.replace("\r", "\n").split("\n")
    found: list[_Read] = []
    for reader in (_csv, _report, _table):
        found = list(reader(lines))
        if found:
            break
    if not found:
        raise HardwareError(_why_not(text), FIELD)
    if len(found) > MOST:
        raise HardwareError(f"More than {MOST} cards: paste fewer of them.", FIELD)
    return tuple(_finished(one) for one in found)


def _why_not(text: str) -> str:
    if not text.strip():
        return "Paste what nvidia-smi printed, or type how much memory is free."
    if re.search(r"^GPU \d+: .*\(UUID", text, re.MULTILINE):
        return "This is nvidia-smi -L, which lists cards without their memory: paste what nvidia-smi prints by itself."
    if re.search(r"couldn't communicate|No devices were found|has failed", text):
        return "nvidia-smi found no card on that machine: its driver has to be repaired first."
    if re.search(r"\d+ MiB(, |$)", text):
        return "Numbers without a header: leave out noheader, so that it says which of them is free."
    return "No card with its memory was found in this text: paste the whole of what nvidia-smi printed."


def _name(text: str) -> str:
    """A card's name as text and nothing else: printable, and no longer than names are."""
    return " ".join("".join(one if one.isprintable() else " " for one in text).split())[:60]


_USAGE = re.compile(r"\b(\d{1,8})MiB\s{0,8}/\s{0,8}(\d{1,8})MiB\b")
_CARD = re.compile(
    r"^\|\s{1,8}(\d{1,3})\s{1,4}(\S.{0,60}?)\s{1,40}(?:On|Off|WDDM|TCC|MCDM|N/A)\s{0,40}\|\s*[0-9A-Fa-f]{4,8}:"
)
_DRIVER = re.compile(r"Driver Version:\s{0,4}(\d{1,4})\.")
_MIG = re.compile(r"^\|\s{1,8}(\d{1,3})\s{1,8}(\d{1,3})\s{1,8}(\d{1,3})\s{1,8}(\d{1,3})\s{1,8}\|")


def _table(lines: list[str]) -> Iterator[_Read]:
    """The usual table: a line with the name, the next with ``used / total``; MIG devices in a table of their own, in
    the place of the card that is divided."""
    cards: dict[str, _Read] = {}
    parts: list[_Read] = []
    current, old = "", False
    for line in (one.strip()[:200] for one in lines):
        driver = _DRIVER.search(line)
        if driver:
            old = int(driver[1]) < 510
        named, part, usage = _CARD.match(line), _MIG.match(line), _USAGE.search(line)
        if part and usage and part[1] in cards:
            parent = cards[part[1]]
            parts.append(_Read(f"{part[1]}:{part[4]}", f"{parent.name} MIG", parent=part[1]))
            parts[-1].used, parts[-1].total = float(usage[1]), float(usage[2])
        elif named:
            current = named[1]
            cards[current] = _Read(current, _name(named[2]), old=old)
        elif usage and current and cards[current].total is None:
            cards[current].used, cards[current].total = float(usage[1]), float(usage[2])
    divided = {one.parent for one in parts}
    yield from (one for one in cards.values() if one.total is not None and one.device not in divided)
    yield from parts


_FIELD_LINE = re.compile(r"^(\s{0,80})([A-Za-z0-9 ./()-]{1,60}?)\s{0,60}(?::\s{0,8}(.{0,100}))?$")
_MIB = re.compile(r"^(\d{1,8}) MiB$")


def _report(lines: list[str]) -> Iterator[_Read]:
    """``nvidia-smi -q``: an indented report, a block a card, in which MIG devices have blocks of their own."""
    current: _Read | None = None
    held: list[_Read] = []
    card, number, block = "", -1, ""
    for raw in lines:
        line = raw.rstrip()[:200]
        if re.match(r"^GPU [0-9A-Fa-f]{4,8}:", line):
            number += 1
            current, card, block = _Read(str(number)), "", ""
            held.append(current)
            continue
        field = _FIELD_LINE.match(line)
        if current is None or field is None:
            continue
        label, value = field[2].strip(), (field[3] or "").strip()
        if label == "Product Name":
            card = current.name = _name(value)
        elif label == "MIG Device":
            parent = current.parent or str(number)
            current = _Read(f"{number}:{sum(one.parent == parent for one in held)}", f"{card} MIG", parent=parent)
            held.append(current)
        elif field[3] is None:
            block = label
        elif block == "FB Memory Usage" and label in ("Total", "Used", "Free", "Reserved"):
            size = _MIB.match(value)
            if size and getattr(current, label.lower()) is None:
                setattr(current, label.lower(), float(size[1]))
    divided = {one.parent for one in held if one.parent and one.total is not None}
    yield from (one for one in held if one.total is not None and one.device not in divided)


_COLUMNS = {"name": "name", "gpu_name": "name", "index": "device", "memory.total": "total", "memory.used": "used",
            "memory.free": "free", "memory.reserved": "reserved"}  # fmt: skip


def _csv(lines: list[str]) -> Iterator[_Read]:
    """``--query-gpu=… --format=csv``: a header that names the columns, then a line a card."""
    header: list[str] | None = None
    number = 0
    for line in (one.strip()[:400] for one in lines):
        cells = [one.strip().strip('"') for one in line.split(",")]
        if header is None:
            names = [re.sub(r"\s*\[.*\]$", "", one) for one in cells]
            if "memory.total" in names or "memory.free" in names:
                header = names
            continue
        if len(cells) != len(header):
            continue
        one = _Read(str(number))
        for column, cell in zip(header, cells, strict=True):
            field = _COLUMNS.get(column)
            size = re.match(r"^(\d{1,8})(?: MiB)?$", cell)
            if field == "name":
                one.name = _name(cell)
            elif field == "device":
                one.device = cell if re.fullmatch(r"\d{1,3}", cell) else one.device
            elif field and size:
                setattr(one, field, float(size[1]))
        number += 1
        if one.free is not None or (one.total is not None and one.used is not None):
            yield one


def _finished(read: _Read) -> Pasted:
    """Sizes in bytes, with what the text leaves out filled in."""
    name = read.name or f"GPU {read.device}"
    known = [size for size in (read.total, read.used, read.free, read.reserved) if size is not None]
    if max(known) * MiB > _TOTAL:
        raise HardwareError(f"{name}: no card has that much memory.", FIELD)
    card = _card(name, read.total)
    used, reserved, note = read.used or 0.0, read.reserved, ""
    if read.free is None:
        assert read.total is not None
        if reserved is None and (read.parent or read.old):
            reserved = 0.0  # a MIG device's total is its own; older drivers' totals leave the reserve out
        elif reserved is None:
            kept = card.reserved if card else gpus.assumed_reserve("NVIDIA", None, read.total * MiB / GiB)
            reserved = kept / MiB
            note = (
                f"what the driver keeps ({reserved:.0f} MiB) is not printed and is taken from the catalogue or its rule"
            )
        free = read.total - used - reserved
        if free < 0 and used <= read.total:
            free = 0.0
    else:
        free = read.free
    total = read.total if read.total is not None else free + used + (reserved or 0.0)
    if free < 0 or used > total or free > total:
        raise HardwareError(f"{name}: more is used or free than there is in total.", FIELD)
    return Pasted(
        device=read.device,
        name=name,
        total=int(total * MiB),
        used=int(used * MiB),
        free=int(free * MiB),
        reserved=int((max(0.0, total - used - free) if reserved is None else reserved) * MiB),
        card=card.name if card else None,
        note=note,
    )


def _card(name: str, total: float | None) -> gpus.Gpu | None:
    """The catalogue's card of that name; a name that the table cut off ("GeForce GTX 108...") with that total."""
    if name.endswith(" MIG"):
        name, total = name.removesuffix(" MIG"), None
    if name.endswith("..."):
        start = _letters(name.removesuffix("..."))
        near = [
            one
            for one in gpus.catalogue()
            if _letters(one.name).startswith(start) and (total is None or abs(one.total / MiB - total) < 0.03 * total)
        ]
        return near[0] if len(near) == 1 else None
    try:
        found = gpus.find(name)
    except HardwareError:
        return None
    if total is not None and abs(found.total / MiB - total) > 0.1 * total:
        return None
    return replace(found, note="")


def _letters(name: str) -> str:
    """A name without maker, blanks and hyphens: ``"Tesla P100-PCIE"`` begins like ``"Tesla P100 PCIe 16GB"``."""
    return re.sub(r"[^a-z0-9]", "", re.sub(r"^(nvidia|tesla)\s+", "", name.casefold()))
