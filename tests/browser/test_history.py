"""The browser's history: each step of a visitor is one entry, and Back and Forward show exactly what was seen."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.browser

LONG = 60_000  # milliseconds; a busy machine
IDLE = "document.querySelector('[data-testid=stApp]')?.dataset.testScriptState === 'notRunning'"
"""No run of the script is under way: all that it had to say about the address has arrived."""
SEEN = """() => [
    location.pathname + location.search,
    document.querySelector('h1')?.innerText,
    Array.from(document.querySelectorAll('.st-key-verdicts h2')).map(one => one.innerText).join(' | '),
    document.querySelector('.st-key-phases [aria-label]')?.getAttribute('aria-label') ?? '',
].join('\\n')"""


def rest(page: Any, title: str, *, has: str = "", lacks: str = "") -> str:
    """What is seen once the page of this title stands still with ``has`` in its address and ``lacks`` not."""
    page.wait_for_function(
        "([title, has, lacks]) => document.querySelector('h1')?.innerText === title"
        " && document.querySelector('.st-key-verdicts h2')"
        " && location.search.includes(has) && !(lacks && location.search.includes(lacks))"
        f" && {IDLE}",
        arg=[title, has, lacks],
        timeout=LONG,
    )
    before = ""
    while (now := page.evaluate(SEEN)) != before:
        before = now
        page.wait_for_timeout(700)
    return str(now)


def again(page: Any, seen: str) -> None:
    """Wait until exactly this is seen."""
    page.wait_for_function(f"seen => {IDLE} && ({SEEN})() === seen", arg=seen, timeout=LONG)


def there_and_back(page: Any, entries: list[str]) -> None:
    """From the last of three entries back to the first, and forward again: each shows exactly what was seen."""
    assert len(entries) == 3
    for at in (1, 0):
        page.go_back()
        again(page, entries[at])
    for at in (1, 2):
        page.go_forward()
        again(page, entries[at])


def test_back_and_forward_through_pages_and_settings(visit: Any) -> None:
    page = visit("/training?model=gpt2&seq=512&ema=true")
    entries = [rest(page, "Training", has="ema=true")]
    page.get_by_role("link", name="Inference", exact=True).first.click()
    rest(page, "Inference", has="seq=512", lacks="ema")
    # A setting that both pages call the same is changed here: Back must bring the old one.
    page.locator(".st-key-batch [role=slider], .st-key-batch input[type=range]").first.focus()
    page.keyboard.press("ArrowRight")
    entries.append(rest(page, "Inference", has="batch=2", lacks="ema"))
    page.get_by_role("link", name="Training", exact=True).first.click()
    entries.append(rest(page, "Training", has="ema=true"))
    assert "batch=2" in page.url
    assert len(set(entries)) == 3
    there_and_back(page, entries)


def test_applying_advice_is_one_entry(visit: Any) -> None:
    page = visit("/training?gpu=24+GB+card&seq=512")
    entries = [rest(page, "Training", has="gpu=24")]
    page.locator(".st-key-make-it-fit button").click()
    page.wait_for_selector(".st-key-apply-plan-page button", timeout=LONG)
    entries.append(rest(page, "Make it fit", has="seq=512"))
    page.locator(".st-key-apply-plan-page button").click()
    page.wait_for_selector(".st-key-verdicts:has-text('Training fits')", timeout=LONG)
    entries.append(rest(page, "Make it fit", has="seq=512"))
    there_and_back(page, entries)


def test_advice_that_leads_to_another_page_leaves_the_first_as_it_was(visit: Any) -> None:
    """Apply all on the first page: what its controls cannot say is shown on Make it fit. Back: nothing half applied."""
    page = visit("/?gpu=24+GB+card")
    page.wait_for_selector(".st-key-apply-plan-train button", timeout=LONG)
    first = rest(page, "Will it fit?", has="gpu=24")
    page.locator(".st-key-apply-plan-train button").click()
    page.wait_for_selector(".st-key-verdicts:has-text('Training fits')", timeout=LONG)
    applied = rest(page, "Make it fit", has="also=")
    page.go_back()
    again(page, first)
    page.go_forward()
    again(page, applied)
