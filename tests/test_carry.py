"""Settings on the way from page to page, and the script for the browser's history, without a browser."""

from __future__ import annotations

from typing import Any

import apart
import pytest
from starlette.applications import Starlette
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import Message
from streamlit.testing.v1 import AppTest

from memcalc.ui import carry, decide, history

PAGE = "<!DOCTYPE html><html><head><title>Streamlit</title></head></html>"


def visit(page: str, **link: str) -> AppTest:
    test = AppTest.from_file("../app.py", default_timeout=60)
    for key, value in link.items():
        test.query_params[key] = value
    return test.switch_page(f"pages/views/{page}.py").run()


def go(test: AppTest, page: str) -> AppTest:
    return test.switch_page(f"pages/views/{page}.py").run()


def notes(test: AppTest) -> str:
    return " ".join(one.value for one in test.info)


def test_a_setting_that_the_next_page_lacks_is_kept_without_a_word() -> None:
    test = visit("training", model="gpt2", seq="512", ema="true")
    go(test, "inference")
    assert not test.exception
    assert test.session_state["seq"] == 512
    assert "ema" not in notes(test)
    assert "ema" not in test.query_params
    go(test, "training")
    assert test.toggle(key="ema").value is True


def test_a_link_that_no_page_understands_is_told() -> None:
    assert "ema" in notes(visit("inference", model="gpt2", ema="true"))


def test_advice_beyond_the_first_pages_controls_is_made_on_the_page_that_has_them() -> None:
    """Fused loss has no control on the first page: it is shown on Make it fit, with the rest of the advice."""
    test = AppTest.from_file("../app.py", default_timeout=60)
    test.query_params["gpu"] = "24 GB card"
    test.query_params["method"] = "QLoRA"
    test.run()
    states = {"task": "Training", "also": '{"train":{"training.loss":"fused"}}', "method": "Full"}
    test.session_state[carry._GO] = (decide.PAGE, states)  # what the button's callback notes
    test.run()
    assert not test.exception
    assert test.title[0].value == "Make it fit"
    # The usual value in a link wins over what the session held.
    assert test.session_state["method"] == "Full"
    assert test.session_state["gpu"] == "24 GB card"
    assert "fused" in test.session_state["also"]


def fetch(path: str) -> tuple[dict[str, str], bytes]:
    """A response of a small application behind the middleware."""

    def html(_request: Any) -> Response:
        return HTMLResponse(PAGE, headers={"etag": '"1"'})

    def data(_request: Any) -> Response:
        return JSONResponse({"head": "<head>"})

    app = history.HistoryScript(Starlette(routes=[Route("/data", data), Route("/{page:path}", html)]))
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": path, "headers": [], "query_string": b"", "root_path": ""}
    apart.run(app(scope, receive, send))
    headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return headers, b"".join(one.get("body", b"") for one in sent[1:])


def test_a_page_carries_the_script_and_nothing_else_does() -> None:
    headers, body = fetch("/training")
    assert body.decode() == PAGE.replace("<head>", "<head>" + history.SCRIPT)
    assert int(headers["content-length"]) == len(body)
    assert headers["etag"] != '"1"'
    for path in ("/data", "/static/page.html"):
        assert b"pushState" not in fetch(path)[1]


def test_an_address_without_a_page_says_so_and_keeps_its_settings() -> None:
    from streamlit.runtime.pages_manager import PagesManager

    test = AppTest.from_file("../app.py", default_timeout=60)
    test.query_params["batch"] = "4"
    name = "trainnig](http://x)"
    with pytest.MonkeyPatch.context() as patch:
        # What a browser says that opens such an address; AppTest always opens a page that there is.
        patch.setattr(PagesManager, "intended_page_name", property(lambda _self: name))
        patch.setattr(PagesManager, "intended_page_script_hash", property(lambda _self: ""))
        test.run()
    assert not test.exception
    said = test.markdown[0].value
    assert said.startswith("**There is no page")
    assert "](http" not in said
    assert test.session_state["batch"] == 4
    test.run()  # the page draws itself again: the word stays
    assert test.markdown[0].value == said
    go(test, "training")
    assert not any("There is no page" in one.value for one in test.markdown)
