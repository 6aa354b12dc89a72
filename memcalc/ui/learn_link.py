"""The link that students open: where this server can be reached. Nothing asks a network.

A teacher's browser usually says ``localhost``, which means nothing on another machine. The operating system knows which
of its addresses it would use towards a network: a UDP socket that is *connected*, without sending a packet, tells it.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from memcalc.learn.link import address as address
from memcalc.learn.link import code as code

_TOWARDS = ("10.255.255.255", "192.168.255.255", "8.8.8.8")
"""Addresses to ask the routing table about; nothing is sent there."""
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,252}[A-Za-z0-9])?(?::\d{1,5})?|\[[0-9A-Fa-f:.]{2,45}\](?::\d{1,5})?")


ONLY_HERE: Final = (
    "This server listens on {} only, so no other machine can reach it. Start it with --server.address 0.0.0.0."
)
NO_NETWORK: Final = (
    "Your browser says localhost, and this machine is in no network that it knows of. Write the address by which "
    "students reach it."
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


def local(host: str) -> bool:
    """Whether a host (with or without a port) means the machine itself, and no other can use it."""
    name = urlsplit(f"//{host}").hostname or ""
    if name in ("localhost", "") or name.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def own_address() -> str | None:
    """This machine's address in its network, as its routing table has it; None without a network."""
    for towards in _TOWARDS:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                probe.connect((towards, 9))
                found = str(probe.getsockname()[0])
            except OSError:
                continue
        if not local(found):
            return found
    return None


def place(seen: str | None, listens: str | None, typed: str = "", own: str | None = None) -> Place:
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
    if host and not local(host):
        return Place(f"{scheme}://{host}{path}", True, "The address in your own browser's window.")
    if listens and local(listens) and listens != "0.0.0.0":
        return Place("", False, ONLY_HERE.format(listens))
    if own is None:
        return Place("", False, NO_NETWORK)
    port = f":{parts.port}" if parts.port else ""
    return Place(f"{scheme}://{own}{port}{path}", False, GUESSED)
