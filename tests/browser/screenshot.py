"""Take the README's picture anew: ``python tests/browser/screenshot.py``."""

from __future__ import annotations

from conftest import ARGUMENTS, BARS, ROOT, Server, chromium

PICTURE = ROOT / "memcalc" / "ui" / "assets" / "screenshot.png"
LINK = "/?gpu=24+GB+card"


def main() -> None:
    from playwright.sync_api import sync_playwright

    server = Server(ROOT / "app.py")
    try:
        with sync_playwright() as started:
            browser = started.chromium.launch(executable_path=chromium(), args=ARGUMENTS)
            page = browser.new_page(viewport={"width": 1360, "height": 1010})
            page.goto(server.url + LINK)
            page.wait_for_selector(BARS, state="attached", timeout=60_000)
            page.wait_for_timeout(1500)
            page.screenshot(path=PICTURE)
            browser.close()
    finally:
        server.stop()


if __name__ == "__main__":
    main()
