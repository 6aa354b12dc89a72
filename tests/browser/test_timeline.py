"""The timeline in a real browser: a click or a key on a component shows its tensors; names cover nothing."""

from __future__ import annotations

import re
from typing import Any

import pytest

pytestmark = pytest.mark.browser

ROWS = "Array.from(document.querySelectorAll('.mc-tensors tbody tr'))"
COLUMNS = ["tensor", "count", "shape", "format", "size", "formula", "source"]


def bytes_of(text: str) -> float:
    number, unit = re.search(r"([\d,.]+) (B|KiB|MiB|GiB|TiB)", text).groups()  # type: ignore[union-attr]
    return float(number.replace(",", "")) * 1024 ** ("B", "KiB", "MiB", "GiB", "TiB").index(unit)


def caption(page: Any) -> str:
    return str(page.locator(".mc-tensors caption").first.inner_text())


def layer(page: Any, place: int) -> tuple[float, float]:
    """The middle of the tallest step of the layer at ``place`` in the stack."""
    box = page.evaluate(
        "place => Array.from(document.querySelectorAll('.st-key-timeline .barlayer .trace')[place]"
        ".querySelectorAll('path')).map(one => one.getBoundingClientRect()).sort((a, b) => b.height - a.height)[0]",
        place,
    )
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def test_a_click_on_a_layer_shows_its_tensors_and_a_second_click_all(visit: Any) -> None:
    page = visit("/timeline?model=gpt2&seq=512")
    page.mouse.click(*layer(page, 2))  # weights, gradients, optimizer states …
    page.wait_for_function("document.querySelector('.mc-tensors caption')?.innerText.includes('optimizer states')")
    assert "part=optimizer" in page.url
    shown = page.evaluate(f"{ROWS}.map(row => row.innerText)")
    assert any("running mean of the gradients" in row for row in shown)
    assert not any("wte" in row and "parameter" in row for row in shown)
    page.mouse.click(*layer(page, 2))
    page.wait_for_function("document.querySelector('.mc-tensors caption')?.innerText.includes('all components')")


def test_the_same_by_keyboard(visit: Any) -> None:
    page = visit("/timeline?model=gpt2&seq=512&view=Generation")
    page.locator(".st-key-part [role=radio]").first.focus()
    for _ in range(6):
        page.keyboard.press("ArrowRight")
        if "KV cache" in page.evaluate("document.activeElement.innerText"):
            break
    page.keyboard.press("Space")
    page.wait_for_function("document.querySelector('.mc-tensors caption')?.innerText.includes('KV cache')")


@pytest.mark.parametrize("view", ["Training step", "Generation"])
def test_each_tensor_has_shape_format_formula_and_source_largest_first(view: str, visit: Any) -> None:
    page = visit(f"/timeline?model=gpt2&seq=512&part=weights&view={view.replace(' ', '+')}")
    heads = page.evaluate(
        "Array.from(document.querySelector('.mc-tensors thead tr').children).map(one => one.innerText)"
    )
    assert set(COLUMNS) <= set(heads)
    cells = page.evaluate(f"{ROWS}.map(row => Array.from(row.children).map(one => one.textContent))")
    at = {name: heads.index(name) for name in COLUMNS}
    sizes = [bytes_of(row[at["size"]]) for row in cells]
    assert sizes == sorted(sizes, reverse=True)
    top = cells[0]
    assert "50,257 × 768" in top[at["shape"]]  # gpt2's embedding
    assert "bf16" in top[at["format"]]
    assert "50,257 × 768 × 2" in top[at["formula"]]
    assert top[at["source"]]


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1400, 390])
@pytest.mark.parametrize("card", ["8 GB card", "16 GB card", "80 GB card"])
def test_the_charts_words_do_not_cover_each_other(width: int, card: str, theme: str, visit: Any) -> None:
    if theme == "dark" and card != "16 GB card":
        pytest.skip("a theme moves nothing: one card is enough")
    page = visit(f"/timeline?gpu={card.replace(' ', '+')}", width=width, color_scheme=theme)
    boxes = page.evaluate(
        "Array.from(document.querySelectorAll('.st-key-timeline .annotation-text-g, .st-key-timeline .textpoint text'))"
        ".filter(one => getComputedStyle(one).display !== 'none' && one.getBoundingClientRect().width)"
        ".map(one => { const b = one.getBoundingClientRect();"
        " return [one.textContent, b.left, b.top, b.right, b.bottom]; })"
    )
    assert any(card in box[0] for box in boxes)
    for index, (one, left, top, right, bottom) in enumerate(boxes):
        assert left >= 0, one
        assert right <= width, one
        for other, left2, top2, right2, bottom2 in boxes[index + 1 :]:
            apart = right <= left2 + 1 or right2 <= left + 1 or bottom <= top2 + 2 or bottom2 <= top + 2
            assert apart, (one, other)


def test_two_visitors_do_not_see_each_other(visit: Any) -> None:
    one, other = visit("/timeline?model=gpt2&seq=512"), visit("/timeline")
    seen = other.locator(".mc-verdict h2").inner_text()
    one.locator(".st-key-part button", has_text="weights").click()
    one.wait_for_function("document.querySelector('.mc-tensors caption')?.innerText.includes('weights')")
    other.locator(".st-key-part button", has_text="overhead").click()
    other.wait_for_function("document.querySelector('.mc-tensors caption')?.innerText.includes('overhead')")
    assert other.locator(".mc-verdict h2").inner_text() == seen
    assert "weights" in caption(one)
    assert "part=weights" in one.url
    assert "gpt2" not in other.url
