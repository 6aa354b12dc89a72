"""The GPU catalogue: what a card's driver reports in total, what it keeps, and what is left for a process.

The rows are in ``memcalc/data/gpus.csv``, each with its source. ``capacity`` is what torch shows as the
device's total memory: the driver's total minus the driver's own reserve. Two figures may be missing in
a row and are then assumed, by rules that are kept here with their evidence (``assumed_total``,
``assumed_reserve``); ``Gpu.assumptions`` says so in words.
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import lru_cache
from importlib.resources import files

from memcalc.errors import HardwareError
from memcalc.units import GiB, MiB, binary

FIELD = "hardware.gpu"


@dataclass(frozen=True)
class Gpu:
    """A card as one process sees it; sizes in bytes.

    ``memory_gb`` is the size on the box. ``kind`` is ``"measured"`` when the total was read from a
    driver and ``"advertised"`` when only the box is known; ``reserve_kind`` is ``"measured"`` or
    ``"rule"``. ``note`` says how a forgiving name was understood.
    """

    name: str
    vendor: str
    memory_gb: float
    consumer: bool
    memory_type: str
    bandwidth_gb_s: float
    compute_capability: tuple[int, int] | None
    year: int
    total: int
    reserved: int
    kind: str
    reserve_kind: str
    source: str
    note: str = ""

    @property
    def capacity(self) -> int:
        """Bytes that processes can use: what the driver reports minus what it keeps for itself."""
        return self.total - self.reserved

    @property
    def assumptions(self) -> tuple[str, ...]:
        """What about this card's capacity is assumed or chosen, as sentences."""
        said = [self.note] if self.note else []
        if self.kind == "advertised":
            said.append(
                f"What the driver reports for the {self.name} is not known: {binary(self.total)} is assumed "
                f"for its {self.memory_gb:g} GB."
            )
        if self.reserve_kind == "rule" and self.reserved:
            said.append(
                f"The {binary(self.reserved)} that the driver keeps on the {self.name} are a rule's, not measured."
            )
        return tuple(said)


# Driver totals of the measured rows over the size on the box, in GiB: 0.9950 (RTX 5070) to 1.0000, except boards
# that give 1/16 to ECC (T4, A10, A40, L4, L40) and the 288 GB parts, which count decimal gigabytes.
_ASSUMED_SHARE = 0.995


def assumed_total(memory_gb: float) -> int:
    """Bytes a driver reports for a card sold with ``memory_gb`` GB, where no reading is known: 99.5 % of as many GiB.

    >>> assumed_total(16) // 2**20
    16302
    """
    return int(memory_gb * GiB * _ASSUMED_SHARE) // MiB * MiB


def assumed_reserve(vendor: str, compute_capability: tuple[int, int] | None, memory_gb: float) -> int:
    """Bytes the driver keeps for itself on a card whose reserve is not known.

    Evidence: NVML total minus the total that CUDA shows, Linux, recent drivers, in MiB (the rows of
    gpus.csv with ``reserved_mib``):

    * before compute capability 7.0: 81 (GTX 1060), 84 (1070), 94 (1080), 115 (P100): 100
    * 7.0: 254 (V100 16 GB), 274 (V100 32 GB): 264
    * from 7.5 on 400 plus 2.5 a GB, at most 800, within 50 for most cards: 373 (RTX 3070, 8 GB; rule 420), 382 (3060,
      12 GB; 430), 416 (4070, 12 GB; 430), 436 (4060 Ti) to 495 (5070 Ti) at 16 GB (440), 453 (3090) and
      484 (4090) at 24 GB (460), 498 (5090, 32 GB; 480), 569 (A6000) and 601 (L40S) at 48 GB (520), 478
      (H100) and 769 (A100) at 80 GB (600), 640 (RTX PRO 6000, 96 GB; 640), 616 (H200, 141 GB; 752),
      729 (B200, 180 GB; 800)

    Older drivers keep some 100 MiB less, and on Windows CUDA shows NVML's whole total. AMD's runtime
    shows 99.5 % or more of the box's size (20464 MiB for 20 GB, 32624 MiB for 32 GB), which
    ``assumed_total`` already takes: 0 there, and for Intel, where nothing is known.
    """
    if vendor != "NVIDIA":
        return 0
    if compute_capability is None or compute_capability >= (7, 5):
        return min(800, round(400 + 2.5 * memory_gb)) * MiB
    return (264 if compute_capability >= (7, 0) else 100) * MiB


def _gpu(row: dict[str, str]) -> Gpu:
    memory_gb = float(row["memory_gb"])
    major, _, minor = row["compute_capability"].partition(".")
    capability = (int(major), int(minor)) if major else None
    measured = row["capacity_kind"] == "measured"
    total = int(row["nvml_total_mib"]) * MiB if measured else assumed_total(memory_gb)
    reserve = row["reserved_mib"]
    return Gpu(
        name=row["name"],
        vendor=row["vendor"],
        memory_gb=memory_gb,
        consumer=row["consumer"] == "yes",
        memory_type=row["memory_type"],
        bandwidth_gb_s=float(row["bandwidth_gb_s"]),
        compute_capability=capability,
        year=int(row["year"]),
        total=total,
        reserved=int(reserve) * MiB if reserve else assumed_reserve(row["vendor"], capability, memory_gb),
        kind=row["capacity_kind"],
        reserve_kind="measured" if reserve else "rule",
        source=row["source"],
    )


@lru_cache(maxsize=1)
def catalogue() -> tuple[Gpu, ...]:
    """Every card of the catalogue, in the order of the file (vendor, then age)."""
    text = (files("memcalc") / "data" / "gpus.csv").read_text(encoding="utf-8")
    return tuple(_gpu(row) for row in csv.DictReader(text.splitlines()))


# Words that people and drivers add to a card's name and that tell no two cards of the catalogue apart.
_NOISE = frozenset(
    ("nvidia", "geforce", "amd", "radeon", "intel", "instinct", "tesla", "gpu", "graphics", "generation", "edition")
)
# What may be left out of a name without meaning another product: series and form factors, but not Ti, SUPER, NVL, Ada.
_FORMS = ("pcie", "sxm", "sxm2", "sxm4", "sxm5", "sxm6", "blackwell", "workstation", "server", "max", "q")
_OPTIONAL = frozenset(("rtx", "gtx", "rx", "arc", *_FORMS))
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*gi?b(?![a-z0-9])")
_MEMORY_TYPE = re.compile(r"\bl?p?(?:hbm|g?ddr)\d*[a-z]?\b")


def _read(name: str) -> tuple[frozenset[str], float | None]:
    """The words of a card's name, split between letters and digits, and the size in GB if it is named."""
    text = _MEMORY_TYPE.sub(" ", name.casefold())
    size = _SIZE.search(text)
    words = re.findall(r"sxm\d?|[a-z]+|\d+", _SIZE.sub(" ", text))
    return frozenset(words) - _NOISE, float(size[1]) if size else None


def _listed(gpus: list[Gpu]) -> str:
    return " or ".join([", ".join(g.name for g in gpus[:-1]), gpus[-1].name] if len(gpus) > 1 else [gpus[0].name])


def _smallest(gpus: list[Gpu]) -> Gpu:
    return min(gpus, key=lambda gpu: gpu.capacity)


def _by_size(memory_gb: float, name: str) -> Gpu:
    sold = [gpu for gpu in catalogue() if gpu.memory_gb == memory_gb]
    if not sold:
        sizes = sorted({gpu.memory_gb for gpu in catalogue()})
        raise HardwareError(f"No card of the catalogue has {memory_gb:g} GB.", FIELD, [f"{size:g}GB" for size in sizes])
    consumer = [gpu for gpu in sold if gpu.consumer]
    gpu = _smallest(consumer or sold)
    which = "consumer cards" if consumer else "cards (no consumer card has that size)"
    return replace(
        gpu,
        note=f"{name} is read as the smallest capacity among the catalogue's {which} sold with {memory_gb:g} GB: "
        f"{binary(gpu.capacity)} on the {gpu.name}.",
    )


def _unknown(name: str) -> HardwareError:
    names = {gpu.name.casefold(): gpu.name for gpu in catalogue()}
    bare = {re.sub(r"^(geforce|radeon|tesla|instinct) ", "", key): shown for key, shown in names.items()} | names
    near = list(dict.fromkeys(bare[key] for key in get_close_matches(name.casefold(), bare, n=6, cutoff=0.4)))
    return HardwareError(f"No card called {name!r} is in the catalogue.", FIELD, near or list(names.values()))


def find(name: str) -> Gpu:
    """The card that ``name`` means: an exact name, a forgiving one (``"rtx4090"``), or a size (``"16GB"``).

    A size alone is the smallest capacity among the consumer cards sold with it. A name that fits
    several cards of one size that differ only in their form (``"A100 80GB"``) is the smallest of them;
    ``note`` says so. A name that fits cards of different sizes, or no card, raises HardwareError with the nearest
    names as choices.
    """
    asked = " ".join(name.split())
    for gpu in catalogue():
        if gpu.name.casefold() == asked.casefold():
            return gpu
    words, size = _read(asked)
    if not words:
        if size is None:
            raise _unknown(asked)
        return _by_size(size, asked)
    fits = [(gpu, _read(gpu.name)[0] - words) for gpu in catalogue() if words <= _read(gpu.name)[0]]
    if size is not None:
        fits = [(gpu, rest) for gpu, rest in fits if gpu.memory_gb == size]
    # A word without a number ("titan") names a family, of which none is the plain one.
    numbered = any(word.isdigit() for word in words)
    same = [gpu for gpu, rest in fits if numbered and rest <= _OPTIONAL]
    found = same or [gpu for gpu, _ in fits]
    if not found:
        raise _unknown(asked)
    if len(found) == 1:
        return found[0]
    if same and len({gpu.memory_gb for gpu in same}) == 1:
        gpu = _smallest(same)
        return replace(
            gpu, note=f"{asked} may be the {_listed(same)}; the {gpu.name} is taken, no other has less memory."
        )
    raise HardwareError(f"{asked!r} may be the {_listed(found)}: say which.", FIELD, [gpu.name for gpu in found])
