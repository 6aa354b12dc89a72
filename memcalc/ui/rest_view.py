"""The page "Whole run": what happens beside the training step, as lines that can be switched on."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache, partial
from html import escape
from typing import Any, Final

import streamlit as st

from memcalc import units
from memcalc.errors import MemcalcError
from memcalc.hardware.live import is_live
from memcalc.rest import Line, Rest, WholeRun, whole_run
from memcalc.scenario.paths import Json
from memcalc.ui import bring, catalogues, controls, export, frame, keep, timeline_controls
from memcalc.ui.ledger import Run
from memcalc.ui.words import plain

LINK: Final = "query-params"
METHODS = {"No": None, "DPO": "dpo", "GRPO": "grpo"}
NO_REWARD = "functions (no model)"
EVALUATED = (1, 2, 4, 8, 16, 32, 64, 128)
COMPLETIONS = (64, 128, 256, 512, 1024, 2048, 4096, 8192)
WHERE = {"device": "On the card", "host": "In the computer's memory", "disk": "On disk"}
_SIGNS = {"fits": "✓", "tight": "!", "does not fit": "✕", "unknown": ""}


def show() -> None:
    """Draw the page."""
    given = st.query_params.to_dict()
    tools = frame.heading(
        "Whole run", "What happens beside the training step: evaluation, samples, DPO and GRPO, checkpoints."
    )
    notes = st.container()
    chosen = timeline_controls.show()
    rest = _switches(chosen.settings.seq_len)
    scenario = chosen.settings.training()
    try:
        found = answer(scenario, rest)
    except MemcalcError as error:
        chosen.refuse([error])
    else:
        _show(found)
    with notes:
        frame.link_notes(given, allowed, (scenario, rest))
    with tools:
        keep.tools("memcalc-run", _now, partial(_offers, rest), bring.training_only)


def _now() -> dict[str, Json]:
    return {"Training": controls.current().training()}


def _offers(rest: Rest, _runs: Sequence[Run]) -> list[export.Offer]:
    """The run's lines as a file to take along."""
    (scenario,) = _now().values()
    return [export.table("Whole run", "-lines.csv", lambda: rows(answer(scenario, rest)))]


def rows(found: WholeRun) -> list[dict[str, str | int]]:
    """The lines as rows of a table, in bytes."""
    return [
        {"where": WHERE[one.where], "what": one.title, "low (bytes)": one.low, "high (bytes)": one.high,
         "formula": one.formula, "source": one.source}
        for one in found.lines
    ]  # fmt: skip


def allowed() -> dict[str, Any]:
    """What a link to the page may say."""
    return {
        **controls.allowed(),
        "eval": ("true", "false"), "sample": ("true", "false"), "ref": ("true", "false"), "pref": list(METHODS),
        "evalbatch": [str(one) for one in EVALUATED], "completion": [str(one) for one in COMPLETIONS],
        "reward": [NO_REWARD, *catalogues.models()],
    }  # fmt: skip


def _switches(length: int) -> Rest:
    """What is switched on."""
    with st.grid(3, min_column_width=230, gap="medium"):
        with st.container(gap="small"):
            evaluated = st.toggle("Evaluation", value=True, key="eval", bind=LINK,
                                  help="Forward passes with the loss between the steps.")  # fmt: skip
            batch = 0
            if evaluated:
                batch = int(st.select_slider("Sequences at once", EVALUATED, value=8, key="evalbatch", bind=LINK))
        with st.container(gap="small"):
            sampled = st.toggle("Samples during training", key="sample", bind=LINK,
                                help="The model writes texts between the steps, with generate().")  # fmt: skip
            preference = METHODS.get(str(st.segmented_control(
                "Preferences", list(METHODS), default="No", required=True, key="pref", bind=LINK,
                help="DPO: learn from pairs of answers. GRPO: learn from rewards of the model's own answers.",
            )))  # fmt: skip
        with st.container(gap="small"):
            new = 256
            if sampled or preference == "grpo":
                new = int(st.select_slider("Tokens written", COMPLETIONS, value=256, key="completion", bind=LINK))
            reference, reward = True, None
            if preference:
                reference = st.toggle("Reference model", value=True, key="ref", bind=LINK,
                                      help="A frozen copy that the policy must stay near. GRPO needs it only if beta "
                                      "is not 0; with adapters it is the policy itself.")  # fmt: skip
            if preference == "grpo":
                named = st.selectbox("Rewards from", [NO_REWARD, *catalogues.models()], key="reward", bind=LINK)
                reward = None if named == NO_REWARD else str(named)
    samples = (batch or 1, length, new) if sampled else None
    return Rest(batch, samples, preference, new, bool(reference), reward)


@lru_cache(maxsize=256)
def _remembered(asked: str, rest: Rest) -> WholeRun:
    return whole_run(json.loads(asked), rest, allow_files=False)


def answer(scenario: Json, rest: Rest) -> WholeRun:
    """The run's lines. A GPU of this machine changes by the second: its run is never remembered."""
    gpu = str((scenario.get("hardware") or {}).get("gpu") or "")
    if is_live(gpu):
        return whole_run(scenario, rest, False, catalogues.machine())
    return _remembered(json.dumps(scenario), rest)


def size(line: Line) -> str:
    """A line's range: ``13.8 to 13.9 GiB``."""
    low, high = units.binary(line.low), units.binary(line.high)
    return low if low == high else f"{low} to {high}"


def headline(found: WholeRun) -> str:
    """The verdict on the whole run, and the moment that decides it."""
    top = max((one for one in found.lines if one.where == "device"), key=lambda one: one.high)
    needs = f"needs {units.binary(found.low)} to {units.binary(found.high)} on the card, highest in: {top.title}"
    if found.limit is None:
        return f"The whole run {needs}."
    state = {"fits": "fits", "tight": "is tight", "does not fit": "does not fit"}[found.state]
    return f"{_SIGNS[found.state]} The whole run {state}: it {needs}, of {units.binary(found.limit)}."


def table(found: WholeRun) -> str:
    """The lines by place, as HTML; everything in it is escaped."""
    parts = []
    for where, title in WHERE.items():
        lines = [one for one in found.lines if one.where == where]
        rows = "".join(
            f'<tr><th scope="row">{escape(one.title)}</th><td>{escape(size(one))}</td></tr>'
            f'<tr class="mc-last"><td class="mc-how" colspan="2">{escape(one.formula)}. Read in: '
            f"{escape(one.source)}</td></tr>"
            for one in lines
        )
        more = " (tensors; workspaces, context and the allocator's reserve come on top)" if where == "device" else ""
        parts.append(
            f"<div><table><caption><b>{escape(title)}</b>{escape(more)}</caption><tbody>{rows}</tbody></table></div>"
        )
    return f'<div class="mc-tables">{"".join(parts)}</div>'


def _show(found: WholeRun) -> None:
    st.markdown(f"**{plain(headline(found))}**")
    st.html(table(found))
    with st.expander("What this assumes", icon=":material/rule:", key="rest-assumptions"):
        st.markdown("\n".join(f"- {plain(one)}" for one in (*found.assumptions, *found.training.assumptions)))
