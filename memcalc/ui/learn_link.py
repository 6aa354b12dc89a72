"""The link that students open: where this server can be reached. Nothing asks a network.

A teacher's browser usually says ``localhost``, which means nothing on another machine: one of this machine's own
addresses takes its place.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from memcalc.learn.link import address as address
from memcalc.learn.link import code as code
from memcalc.learn.network import Address as Address
from memcalc.learn.network import addresses as addresses
from memcalc.learn.network import everywhere, local

_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,252}[A-Za-z0-9])?(?::\d{1,5})?|\[[0-9A-Fa-f:.]{2,45}\](?::\d{1,5})?")

ROOM: Final = "python -m memcalc room"
"""What starts a server for a room."""
ONLY_HERE: Final = (
    "This server listens on {} only, so no other machine can reach it. Stop it, and start it for the room with: {}"
)
NO_NETWORK: Final = (
    "Your browser says localhost, and this machine is in no network that it knows of. Join the room’s network, or "
    "write the address by which students reach this machine."
)
GUESSED: Final = (
    "Your browser says localhost, so this is the address that this machine has in its network. Try it with one phone "
    "first: a firewall, a guest network or a container may stand between."
)


@dataclass(frozen=True)
class Place:
    """Where the server is reached: ``http://192.168.1.7:8501`` and any path below which it is served. ``sure`` is False
    where it is this machine's own view of itself; empty ``base``: it cannot be known."""

    base: str
    sure: bool
    note: str


def guessing(seen: str | None, listens: str | None) -> bool:
    """Whether one of this machine's own addresses has to stand for the one in the teacher's browser (``seen``), on a
    server that was told to listen on ``listens``."""
    return local(urlsplit(seen or "").netloc.rsplit("@", 1)[-1]) and everywhere(listens)


def place(seen: str | None, listens: str | None, typed: str = "", own: Address | None = None) -> Place:
    """Where students find the server. ``seen``: the address in the teacher's browser; ``listens``: the address that the
    server was told to listen on, if any; ``typed``: what the teacher wrote instead; ``own``: this machine's address."""
    parts = urlsplit(seen or "")
    path = parts.path.rsplit("/", 1)[0]
    scheme, host = parts.scheme or "http", parts.netloc.rsplit("@", 1)[-1]
    if typed.strip():
        wanted = typed.strip().removeprefix("http://").removeprefix("https://").strip("/")
        if not _HOST.fullmatch(wanted):
            return Place("", False, "Write a name or an address such as 192.168.1.7 or 192.168.1.7:8501.")
        if urlsplit(f"//{wanted}").port is None and parts.port and local(host):
            wanted = f"{wanted}:{parts.port}"
        kind = "https" if typed.strip().startswith("https://") else scheme
        return Place(f"{kind}://{wanted}{path}", True, "As you wrote it.")
    if not local(host):
        return Place(f"{scheme}://{host}{path}", True, "The address in your own browser's window.")
    if not everywhere(listens):
        return Place("", False, ONLY_HERE.format(listens, ROOM))
    if own is None:
        return Place("", False, NO_NETWORK)
    port = f":{parts.port}" if parts.port else ""
    return Place(f"{scheme}://{own.ip}{port}{path}", False, GUESSED)
