"""An event log of tensors: births and deaths in order, with the stream that each is allocated on."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping

from memcalc.allocator.workspaces import LogEvent
from memcalc.parallel.fsdp2 import STREAMS
from memcalc.tensors.tape import Record
from memcalc.tensors.timeline import Segment


class EventLog:
    """Births and deaths in order, as ``replay`` takes them, and where each kind of phase first began. ``streams``: of
    the storages that are not allocated on the usual stream, on which they are."""

    def __init__(self) -> None:
        self.events: list[LogEvent] = []
        self.sizes: dict[int, int] = {}
        self.starts: dict[str, int] = {}
        self.streams: dict[int, str] = {}
        self._copies: dict[int, deque[int]] = {}  # a record's living storages, oldest first
        self._by_size: dict[int, dict[int, None]] = {}  # living storages of each size, in order of birth
        self._record_of: dict[int, int] = {}
        self._kind: dict[int, tuple[str, tuple[int, ...]]] = {}

    def begin(self, phase: str) -> None:
        self.starts.setdefault(phase, len(self.events))

    def birth(self, size: int, record: Record | None = None) -> int:
        """A new storage of ``size`` bytes; nothing is noted for 0."""
        storage = len(self.sizes)
        self.sizes[storage] = size
        if size:
            self.events.append((size, storage))
            if record is not None:
                self._copies.setdefault(id(record), deque()).append(storage)
                self._record_of[storage] = id(record)
                self._kind[storage] = (record.component, record.shape)
                self._by_size.setdefault(size, {})[storage] = None
                if record.op in STREAMS:
                    self.streams[storage] = STREAMS[record.op]
        return storage

    def death(self, storage: int) -> None:
        size = self.sizes[storage]
        if size:
            self.events.append((-size, storage))

    def death_of(self, record: Record) -> None:
        """The youngest living copy of ``record`` dies: backward undoes the blocks in reverse. Where none is left, what
        the neighbouring block handed on dies: the youngest of that component and shape, or at least of that size."""
        copies = self._copies.get(id(record))
        if copies:
            storage = copies.pop()
        else:
            alive = self._by_size.get(record.bytes)
            if not alive:
                return
            youngest = list(reversed(alive))
            own = [one for one in youngest if self._kind[one] == (record.component, record.shape)]
            storage = (own or youngest)[0]
            self._copies[self._record_of[storage]].remove(storage)
        del self._by_size[record.bytes][storage]
        self.death(storage)

    def run(self, parts: Iterable[Segment]) -> None:
        """Segments one after another, repeated ones as often as they repeat."""
        for part in parts:
            for _ in range(part.repeat):
                for step, record in zip(part.steps, part.records, strict=True):
                    if step > 0:
                        self.birth(step, record)
                    elif step < 0:
                        for _ in range(-step // record.bytes):
                            self.death_of(record)

    def carry_over(self, parts: Iterable[Segment]) -> None:
        """Begin a stage that finds what ``parts`` make: living storages of the right sizes are taken over, the others
        die as the new ones are made (a cache that has grown meanwhile, layer by layer)."""
        old = list(self._record_of)
        spare: dict[int, list[int]] = {}
        alive = [one for one in old if one in self._by_size.get(self.sizes[one], {})]
        for storage in reversed(alive):
            spare.setdefault(self.sizes[storage], []).append(storage)
        wanted: list[Record] = []
        for part in parts:
            births = [record for step, record in zip(part.steps, part.records, strict=True) if step > 0]
            wanted += births * part.repeat
        missing: list[Record] = []
        for record in wanted:
            same = spare.get(record.bytes)
            if same:
                storage = same.pop()
                self._copies[self._record_of[storage]].remove(storage)
                self._record_of[storage] = id(record)
                self._kind[storage] = (record.component, record.shape)
                self._copies.setdefault(id(record), deque()).append(storage)
            elif record.bytes:
                missing.append(record)
        left = {storage for same in spare.values() for storage in same}
        leaving = [storage for storage in alive if storage in left]
        while leaving or missing:
            if leaving:
                self._drop(leaving.pop(0))
            if missing:
                record = missing.pop(0)
                self.birth(record.bytes, record)

    def _drop(self, storage: int) -> None:
        self._copies[self._record_of[storage]].remove(storage)
        del self._by_size[self.sizes[storage]][storage]
        self.death(storage)

    def forget(self, component: str, records: Mapping[int, Record]) -> None:
        """Every living storage of ``component`` dies, oldest first (gradients set to None)."""
        for key, copies in self._copies.items():
            if records[key].component == component:
                while copies:
                    storage = copies.popleft()
                    del self._by_size[self.sizes[storage]][storage]
                    self.death(storage)
