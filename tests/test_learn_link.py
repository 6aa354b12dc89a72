"""The link that students open: which address it has, and the QR code."""

from __future__ import annotations

import base64
import urllib.parse

import pytest
import segno

from memcalc.ui import learn_link


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
    found = learn_link.place("http://localhost:8501/learn", None, own="192.168.1.7")
    assert (found.base, found.sure) == ("http://192.168.1.7:8501", False)
    assert "Try it with one phone" in found.note


def test_a_server_that_listens_to_itself_only_is_said_to_be_out_of_reach() -> None:
    found = learn_link.place("http://localhost:8501/learn", "127.0.0.1", own="192.168.1.7")
    assert found.base == ""
    assert "--server.address 0.0.0.0" in found.note


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
    assert learn_link.place("http://localhost:8501/learn", None, typed, "192.168.1.7").base == base


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
