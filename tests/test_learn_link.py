"""The link that students open: which address it has, and the QR code."""

from __future__ import annotations

import base64
import json
import socket
import urllib.parse
from pathlib import Path

import pytest
import segno

from memcalc.__main__ import main
from memcalc.cli import room
from memcalc.learn import network
from memcalc.learn.network import Address
from memcalc.ui import learn_link, learn_markup

OWN = Address("192.168.1.7", "wlan0")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("0.0.0.0", 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:8501", "127.0.0.1:8501", "127.1.2.3", "[::1]:8501", "0.0.0.0:1", ""]
)
def test_what_no_other_machine_can_use_is_known(host: str) -> None:
    assert learn_link.local(host)


@pytest.mark.parametrize("host", ["192.168.1.7:8501", "lab.example.org", "[2001:db8::1]:8501"])
def test_other_addresses_can_be_used(host: str) -> None:
    assert not learn_link.local(host)


def test_the_browsers_own_address_is_taken_as_it_is() -> None:
    found = learn_link.place("https://lab.example.org/memcalc/learn", None)
    assert (found.base, found.sure) == ("https://lab.example.org/memcalc", True)


def test_on_localhost_the_machines_address_takes_its_place_and_is_said_to_be_a_guess() -> None:
    found = learn_link.place("http://localhost:8501/learn", None, own=OWN)
    assert (found.base, found.sure) == ("http://192.168.1.7:8501", False)
    assert "Try it with one phone" in found.note


def test_a_server_that_listens_to_itself_only_is_said_to_be_out_of_reach() -> None:
    found = learn_link.place("http://localhost:8501/learn", "127.0.0.1", own=OWN)
    assert found.base == ""
    assert found.note.endswith("python -m memcalc room")
    assert not learn_link.guessing("http://localhost:8501/learn", "127.0.0.1")


@pytest.mark.parametrize("listens", [None, "", "0.0.0.0", "::", "192.168.1.7"])
def test_a_server_that_listens_to_everybody_is_not(listens: str | None) -> None:
    assert learn_link.guessing("http://localhost:8501/learn", listens)
    assert learn_link.place("http://localhost:8501/learn", listens, own=OWN).base == "http://192.168.1.7:8501"


def test_without_a_network_the_teacher_is_asked() -> None:
    found = learn_link.place("http://127.0.0.1:8501/learn", None, own=None)
    assert found.base == ""
    assert "in no network" in found.note


@pytest.mark.parametrize(
    ("typed", "base"),
    [
        ("192.168.1.9", "http://192.168.1.9:8501"),  # the port is the server's
        ("192.168.1.9:80", "http://192.168.1.9:80"),
        ("https://room.example.org/", "https://room.example.org:8501"),
        ("lab\"><script>", ""),
        ("a b", ""),
    ],
)  # fmt: skip
def test_what_the_teacher_types_wins_if_it_is_an_address(typed: str, base: str) -> None:
    assert learn_link.place("http://localhost:8501/learn", None, typed, OWN).base == base


def test_of_several_addresses_those_inside_the_machine_come_last(monkeypatch: pytest.MonkeyPatch) -> None:
    """A laptop with Docker: the bridge of its containers is no way for students; loopback and self-assigned addresses
    are none at all."""
    there = [("lo", "127.0.0.1"), ("docker0", "172.17.0.1"), ("eth0", "169.254.3.4"), ("wlan0", "192.168.1.7"),
             ("tun0", "10.8.0.2")]  # fmt: skip
    monkeypatch.setattr(network, "_interfaces", lambda: (Address(ip, name) for name, ip in there))
    monkeypatch.setattr(network, "_routed", lambda: iter(["192.168.1.7", "172.17.0.1", "192.168.1.7"]))
    assert [one.label for one in network.addresses()] == [
        "192.168.1.7 (wlan0)", "10.8.0.2 (tun0)", "172.17.0.1 (docker0)"
    ]  # fmt: skip


def test_this_machines_addresses_are_found_without_a_packet(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("send", "sendto", "sendmsg", "sendall"):
        monkeypatch.setattr(f"socket.socket.{name}", lambda *_: pytest.fail("something was sent"), raising=False)
    monkeypatch.setattr("socket.getaddrinfo", lambda *_: pytest.fail("a name was looked up"))
    if Path("/sys/class/net/lo").exists():
        assert Address("127.0.0.1", "lo") in network._interfaces()
    assert all(not network.local(one.ip) for one in network.addresses())


def test_the_command_says_where_to_go_and_serves_every_network(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The addresses are said, and the server is started by the very options that make it reachable."""
    called: list[list[str]] = []
    monkeypatch.setattr(room, "addresses", lambda: (OWN, Address("172.17.0.1", "docker0")))
    monkeypatch.setattr(room.subprocess, "call", lambda command, cwd: called.append([*command, str(cwd)]) or 0)
    port = free_port()
    assert main(["room", "--port", str(port)]) == 0
    said = capsys.readouterr().out
    assert f"http://192.168.1.7:{port}/learn   (wlan0)" in said
    assert f"http://localhost:{port}/learn?present=true" in said
    ((*command, folder),) = called
    assert command[1:4] == ["-m", "streamlit", "run"]
    assert Path(command[4]).parent == Path(folder)
    told = dict(zip(command[5::2], command[6::2], strict=True))
    assert told["--server.address"] == "0.0.0.0"
    assert told["--server.headless"] == "true"
    assert network.everywhere(told["--server.address"])


def test_a_port_that_is_taken_is_refused_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert main(["room", "--address", "127.0.0.1", "--port", str(port)]) == 2
    answer = json.loads(capsys.readouterr().out)
    assert answer["error"]["field"] == "port"
    assert "another --port" in answer["error"]["message"]


def test_a_link_that_is_too_long_has_no_code_and_is_still_shown() -> None:
    link = learn_link.address("http://192.168.1.7:8501", "learn", {"own": "1" * 3000})
    assert learn_link.code(link) == ""
    shown = learn_markup.picture(learn_link.code(link), link)
    assert "<img" not in shown
    assert link in shown.replace("&amp;", "&")


def test_the_code_is_that_of_the_link_made_without_a_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """An SVG picture with a quiet zone of four modules (ISO/IEC 18004, 6.3.8)."""
    monkeypatch.setattr("socket.socket.connect", lambda *_: pytest.fail("a network was asked"))
    link = learn_link.address("http://192.168.1.7:8501", "learn", {"lesson": "3", "model": "gpt2"})
    assert link == "http://192.168.1.7:8501/learn?lesson=3&model=gpt2"
    uri = learn_link.code(link)
    assert uri.startswith("data:image/svg+xml")
    head, _, body = uri.partition(",")
    svg = base64.b64decode(body).decode() if head.endswith("base64") else urllib.parse.unquote(body)
    side = 4 * (segno.make(link, error="m", micro=False).symbol_size(border=4)[0])
    assert f"{side}" in svg
