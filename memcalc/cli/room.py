"""``python -m memcalc room``: the dashboard for a room, reached from every machine of its network."""

from __future__ import annotations

import argparse
import importlib.util
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import memcalc
from memcalc.cli.reading import refuse
from memcalc.errors import MemcalcError
from memcalc.learn.network import Address, addresses, everywhere

USUAL_PORT: Final = 8501
USUAL_ADDRESS: Final = "0.0.0.0"
CHECK: Final = """\
Before the lesson: open the students' address on one phone, in the network that they will use. If it does not open,
the Wi-Fi keeps its guests apart (client isolation) or this machine's firewall closes port {port}."""


def add(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser("room", help="start the dashboard for a room: other machines of the network reach it")
    parser.add_argument("--port", type=int, default=USUAL_PORT, help="the port to listen on (%(default)s)")
    parser.add_argument(
        "--address", default=USUAL_ADDRESS, help="the address to listen on (%(default)s: every network)"
    )
    parser.set_defaults(run=run)


def run(chosen: argparse.Namespace) -> int:
    """Say the addresses, then serve until Ctrl+C."""
    app = Path(memcalc.__file__).parents[1] / "app.py"
    try:
        if not 1 <= chosen.port <= 65535:
            raise MemcalcError("a port is a number from 1 to 65535", "port")
        if not app.is_file() or importlib.util.find_spec("streamlit") is None:
            raise MemcalcError(
                "the dashboard is not here: start this where app.py is, with what requirements.txt lists"
            )
        _free(chosen.address, chosen.port)
    except MemcalcError as error:
        return refuse(error)
    print(
        words(addresses() if chosen.address in ("0.0.0.0", "::") else (Address(chosen.address),), chosen.port),
        flush=True,
    )
    command = [sys.executable, "-m", "streamlit", "run", str(app), *options(chosen.address, chosen.port)]
    try:
        return subprocess.call(command, cwd=app.parent)  # where .streamlit/config.toml is
    except KeyboardInterrupt:
        return 0


def options(listen: str, port: int) -> list[str]:
    """What a server for a room is told: where to listen, to open no browser, not to watch its source for changes."""
    return ["--server.address", listen, "--server.port", str(port), "--server.headless", "true",
            "--server.fileWatcherType", "none"]  # fmt: skip


def words(reached: tuple[Address, ...], port: int) -> str:
    """Where students and teacher go."""
    shown = [one for one in reached if everywhere(one.ip)]
    lines = [
        f"  {'students' if at == 0 else '      or':<10} http://{one.ip}:{port}/learn"
        + (f"   ({one.interface})" if one.interface else "")
        for at, one in enumerate(shown)
    ] or ["  students   nobody else reaches it: this machine is in no network, or listens to itself only"]
    return "\n".join(
        (
            "memcalc for a room. The Workshop is at",
            *lines,
            f"  projector  http://localhost:{port}/learn?present=true",
            "“Link and QR code” on the projector's page shows the students the way to the same lesson.",
            CHECK.format(port=port),
            "Ctrl+C ends it.",
        )
    )


def _free(listen: str, port: int) -> None:
    """MemcalcError where nothing can listen there."""
    family = socket.AF_INET6 if ":" in listen else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server does
        try:
            probe.bind((listen, port))
        except OSError as error:
            raise MemcalcError(
                f"{listen}:{port} cannot be used ({error.strerror}): try another --port", "port"
            ) from None
