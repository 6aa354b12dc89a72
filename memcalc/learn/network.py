"""By which addresses other machines reach this one. The operating system is asked, never a network."""

from __future__ import annotations

import ipaddress
import socket
import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

_TOWARDS: Final = ("192.168.255.255", "10.255.255.255", "172.31.255.255", "8.8.8.8")
"""Addresses to ask the routing table about; nothing is sent there."""
_ASK: Final = {"linux": 0x8915, "darwin": 0xC0206921}
"""SIOCGIFADDR, the request for an interface's IPv4 address: linux/sockios.h; sys/sockio.h."""
_REQUEST: Final = 16
"""Bytes of an interface's name in that request (IFNAMSIZ); its address stands 4 bytes into what follows."""
_INNER: Final = ("docker", "br-", "veth", "virbr", "vmnet", "vboxnet", "lxc", "podman", "cni", "bridge")
"""Beginnings of the names of networks that lie inside this machine, between its containers and virtual machines."""


@dataclass(frozen=True)
class Address:
    """An IPv4 address of this machine, and the interface that has it, where its name is known."""

    ip: str
    interface: str = ""

    @property
    def inner(self) -> bool:
        """Whether it belongs to a network inside this machine."""
        return self.interface.startswith(_INNER)

    @property
    def label(self) -> str:
        """``192.168.1.7 (wlan0)``."""
        return f"{self.ip} ({self.interface})" if self.interface else self.ip


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


def everywhere(listens: str | None) -> bool:
    """Whether a server that was told to listen on this address (None: not told) can be reached from other machines."""
    return not listens or listens in ("0.0.0.0", "::") or not local(listens)


def addresses() -> tuple[Address, ...]:
    """This machine's addresses, those first by which it reaches other networks, those inside the machine last; none
    without a network."""
    named = {one.ip: one for one in _interfaces()}
    found = [named.get(ip, Address(ip)) for ip in _routed()] + list(named.values())
    usable = [
        one for one in dict.fromkeys(found) if not local(one.ip) and not ipaddress.ip_address(one.ip).is_link_local
    ]
    return tuple(sorted(usable, key=lambda one: one.inner))


def _routed() -> Iterator[str]:
    """The addresses that this machine would use towards several networks, as its routing table has them: a UDP socket
    that is connected, without sending a packet, tells it."""
    for towards in _TOWARDS:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                probe.connect((towards, 9))
                yield str(probe.getsockname()[0])
            except OSError:
                continue


def _interfaces() -> Iterator[Address]:
    """Every interface's address, where the system tells it."""
    if sys.platform == "win32":
        try:
            for ip in socket.gethostbyname_ex(socket.gethostname())[2]:
                yield Address(ip)
        except OSError:
            return
    elif sys.platform in _ASK:
        import fcntl

        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            for _, name in socket.if_nameindex():
                request = struct.pack("256s", name.encode()[: _REQUEST - 1])
                try:
                    answer = fcntl.ioctl(probe, _ASK[sys.platform], request)
                except OSError:
                    continue  # an interface without an address
                yield Address(socket.inet_ntoa(answer[_REQUEST + 4 : _REQUEST + 8]), name)
