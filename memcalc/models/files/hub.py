"""Files of models on the Hugging Face Hub. Nothing else in memcalc uses the network.

Only a config.json and the headers of weight files are fetched, by plain HTTPS, and nothing is written to disk.
``HF_ENDPOINT`` names another hub, ``HF_HUB_OFFLINE`` forbids all of it, as in huggingface_hub; ``HF_TOKEN`` is sent
only where the person's own files may be read (command line and library), never for a visitor of the dashboard.
"""

from __future__ import annotations

import http.client
import os
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, BinaryIO, cast

from memcalc.errors import ModelError
from memcalc.models import catalogue, config
from memcalc.models.description import ModelDescription

FIELD = "model.hub"
ENDPOINT = "https://huggingface.co"
PATIENCE, LONGEST = 10.0, 60.0
"""Seconds without an answer, and seconds for a whole file, however slowly it comes."""
_NAME = r"[A-Za-z0-9][\w.-]{0,95}"
_REPOSITORY = re.compile(rf"(?P<repository>{_NAME}/{_NAME})(@(?P<revision>[\w./-]{{1,120}}))?")
_FILE = re.compile(rf"{_REPOSITORY.pattern}:(?P<file>[\w./ +-]{{1,200}})")


@dataclass(frozen=True, slots=True)
class HubFile:
    """A file of a repository at a revision (a branch, a tag or a commit)."""

    repository: str
    name: str
    revision: str = "main"


def file_of(place: str) -> HubFile | None:
    """The file that ``org/name:file`` (or ``org/name@revision:file``) means; None if it is no such thing.

    >>> file_of("org/name:q4.gguf")
    HubFile(repository='org/name', name='q4.gguf', revision='main')
    """
    found = _FILE.fullmatch(place)
    if found is None or ".." in place:
        return None
    return HubFile(found["repository"], found["file"], found["revision"] or "main")


def is_repository(place: str) -> bool:
    """Whether ``place`` is ``org/name`` or ``org/name@revision``."""
    return _REPOSITORY.fullmatch(place) is not None and ".." not in place


def configuration_of(place: Any) -> HubFile:
    """The config.json of ``org/name`` or ``org/name@revision``; ModelError if ``place`` is no such thing."""
    found = _REPOSITORY.fullmatch(place) if isinstance(place, str) and is_repository(place) else None
    if found is None:
        raise ModelError("model.hub must be org/name, as in the address of a model's page", FIELD)
    return HubFile(found["repository"], "config.json", found["revision"] or "main")


def known(place: Any) -> catalogue.Entry | None:
    """The catalogue's entry for ``org/name``, which needs no network."""
    name = place.casefold() if isinstance(place, str) else ""
    return next((one for one in catalogue.entries().values() if one.hub.casefold() == name), None)


def describe(place: Any, allow_files: bool = False) -> ModelDescription:
    """The model ``org/name`` or ``org/name@revision`` by its config.json. One that the catalogue has is answered from
    there, without the network."""
    entry, file = known(place), configuration_of(place)
    if entry is not None:
        found = catalogue.as_published(entry)
        note = f"{place} is in the catalogue, whose copy of the configuration is used: the Hub was not asked"
        return replace(found, assumptions=(*found.assumptions, note))
    made = config.describe(configuration(file, allow_files), file.repository.partition("/")[2])
    return replace(made, source=f"config.json of {place} on the Hub")


def configuration(file: HubFile, allow_files: bool = False) -> dict[str, Any]:
    """A parsed config.json."""
    return config.parsed(_text(file, allow_files), f"{file.name} of {file.repository}", FIELD)


@lru_cache(maxsize=64)
def _text(file: HubFile, allow_files: bool) -> str:
    with opened(file, allow_files, FIELD) as stream:
        found = stream.read(config.LARGEST + 1)
    if len(found) > config.LARGEST:
        raise ModelError(f"{file.name} of {file.repository} is larger than {config.LARGEST >> 20} MiB", FIELD)
    return found.decode("utf-8", "replace")


@contextmanager
def opened(file: HubFile, allow_files: bool, field: str) -> Iterator[BinaryIO]:
    """The file as a stream, read only as far as one reads; ModelError in words where the Hub cannot give it."""
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
        raise ModelError("HF_HUB_OFFLINE is set: the Hub is not asked. A config.json at hand does as well", field)
    request = urllib.request.Request(_address(file), headers={"User-Agent": "memcalc"})
    token = os.environ.get("HF_TOKEN", "").strip() if allow_files else ""
    if token:
        request.add_unredirected_header("Authorization", f"Bearer {token}")  # not to where the Hub sends us on
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            yield cast(BinaryIO, _Paced(cast(BinaryIO, answer), file, field))
    except urllib.error.HTTPError as error:
        raise ModelError(_refused(file, error.code, bool(token)), field) from error
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise ModelError(
            f"{host()} cannot be reached ({reason}): looking a model up needs the "
            "network; its config.json does as well, and the catalogue needs neither",
            field,
        ) from error


class _Paced:
    """A stream that is given up after ``LONGEST`` seconds."""

    def __init__(self, stream: BinaryIO, file: HubFile, field: str) -> None:
        self._stream, self._file, self._field = stream, file, field
        self._end = time.monotonic() + LONGEST

    def read(self, size: int) -> bytes:
        found = []
        while size > 0 and (piece := self._stream.read(min(size, 1 << 16))):
            if time.monotonic() > self._end:
                what = f"{self._file.name} of {self._file.repository}"
                raise ModelError(f"{what} did not come within {LONGEST:.0f} seconds: try again later", self._field)
            found.append(piece)
            size -= len(piece)
        return found[0] if len(found) == 1 else b"".join(found)


def host() -> str:
    """The name of the hub that is asked."""
    return urllib.parse.urlsplit(_endpoint()).netloc


def _endpoint() -> str:
    found = os.environ.get("HF_ENDPOINT", "").strip().rstrip("/") or ENDPOINT
    if not found.startswith(("https://", "http://")):
        raise ModelError("HF_ENDPOINT must be an address of https or http", FIELD)
    return found


def _address(file: HubFile) -> str:
    revision = urllib.parse.quote(file.revision, safe="")
    return f"{_endpoint()}/{file.repository}/resolve/{revision}/{urllib.parse.quote(file.name)}"


def _refused(file: HubFile, code: int, token: bool) -> str:
    what = f"{file.name} of {file.repository}"
    if code in (401, 403):
        more = "this token may not read it" if token else "set HF_TOKEN on the command line, or bring its config.json"
        return f"the Hub does not give {what} to everybody (HTTP {code}): it is gated, private or missing; {more}"
    if code == 404:
        return f"the Hub has no {what} at revision {file.revision}"
    return f"the Hub answered HTTP {code} for {what}: try again later, or bring its config.json"
