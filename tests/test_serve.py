"""How the dashboard is served: small messages go out at once."""

from __future__ import annotations

import socket
import sys
import tempfile

import pytest

from memcalc.ui import serve


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the system may not hand the setting on")
def test_an_accepted_connection_does_not_wait_for_the_browsers_acknowledgement() -> None:
    """A socket that listens without naming its protocol, as Streamlit binds it: what it accepts would hold back every
    second small message for 40 ms (Nagle's algorithm against delayed acknowledgements)."""
    with socket.socket() as listens, socket.socket() as visitor, tempfile.TemporaryFile() as file:
        listens.bind(("127.0.0.1", 0))
        listens.listen()
        assert listens.proto == 0
        assert serve.send_at_once() >= 1
        visitor.connect(listens.getsockname())
        accepted, _ = listens.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            assert not visitor.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)  # no business of the server's
            accepted.sendall(b"as before")
            assert visitor.recv(99) == b"as before"
        assert file.write(b"as before") == 9
