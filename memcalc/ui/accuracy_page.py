"""The page Accuracy: estimates against traces and measurements, one dot a case, each leading to its scenario."""

from __future__ import annotations

from typing import Final

import streamlit as st

from memcalc import accuracy
from memcalc.measured import left_out
from memcalc.ui import accuracy_case, figures, form_controls, frame
from memcalc.ui import accuracy_cases as view
from memcalc.ui.accuracy_figures import VIEWS, Dot, scatter
from memcalc.ui.plain_figure import PlainFigure

LINK: Final = "query-params"
_SIGNS = {
    view.TRACES: "● training  ◆ inference",
    view.MEASUREMENTS: "● training  ◆ inference; hollow: the source's code differs; whiskers: the stated range",
}


def show() -> None:
    """Draw the page."""
    given = st.query_params.to_dict()
    frame.heading("Accuracy", "How right the numbers are: against traces of real model code, and against real cards.")
    form_controls.style()
    notes = st.container()
    with st.container(horizontal=True, gap="medium", key="filters"):
        truth = st.segmented_control("Judged by", (view.TRACES, view.MEASUREMENTS), default=view.TRACES, key="truth",
                                     required=True, bind=LINK)  # fmt: skip
        plot = st.segmented_control("Show", VIEWS, default=VIEWS[0], key="plot", required=True, bind=LINK)
        family = st.selectbox("Family", view.families(truth), key="family", bind=LINK, width=200)
        setting = st.selectbox("Setting", view.settings(truth), key="setting", bind=LINK, width=280)
    some = view.shown(truth, family, setting)
    st.caption(_about(truth))
    if not some:
        st.info("No case has both this family and this setting.", icon=":material/filter_alt_off:")
        return
    st.html(view.facts_html(some) if truth == view.TRACES else view.groups_html(some))
    by_name = {one.dot.name: one for one in some}
    chosen = st.session_state.get("case")
    st.plotly_chart(
        PlainFigure(scatter([one.dot for one in some], plot, _truth(truth), chosen)),
        key="dots",
        config=figures.CONFIG,
        on_select=_pick,
        selection_mode="points",
        alt=view.alternative(some, truth),
    )
    st.caption(f"{_SIGNS[truth]}. Press a dot, or choose below; the largest errors come first.")
    name = st.selectbox("Case", list(by_name), index=None, key="case", bind=LINK, placeholder="Choose a case")
    if name in by_name:
        accuracy_case.show(by_name[name])
    _table([one.dot for one in some], view.rows(some))
    if truth == view.MEASUREMENTS:
        _left_out()
    with notes:
        allowed = {
            "truth": (view.TRACES, view.MEASUREMENTS), "plot": VIEWS, "family": view.families(truth),
            "setting": view.settings(truth), "case": list(by_name),
        }  # fmt: skip
        frame.link_notes(given, lambda: allowed, (truth, plot, family, setting, name))


def _about(truth: str) -> str:
    if truth == view.MEASUREMENTS:
        return (
            "Published figures of others, each with its source; estimated by this memcalc. No card has been at hand to "
            "measure on."
        )
    record = accuracy.record()
    alone = sum(one.independent for one in record.cases)
    return (
        "The largest sum of live tensors (peak.tensors) against real model code run on a fake GPU, "
        f"{record.traced_with}. "
        f"{alone} of {len(record.cases):,} traces are by an instrument that shares nothing with memcalc. Compared on "
        f"{record.made} with memcalc {record.version}."
    )


def _truth(truth: str) -> str:
    return "traced" if truth == view.TRACES else "measured"


def _pick() -> None:
    """A pressed dot becomes the chosen case."""
    points = st.session_state["dots"]["selection"]["points"]
    names = [point.get("customdata") for point in points]
    name = next((one[0] if isinstance(one, list) else one for one in names if one), None)
    if isinstance(name, str):
        st.session_state["case"] = name


def _table(dots: list[Dot], columns: dict[str, list]) -> None:
    """The same as a table, made only when somebody looks; a pressed row becomes the chosen case."""
    place = st.expander("As a table", icon=":material/table:", key="table", on_change="rerun")
    if not place.open:
        return

    def pick() -> None:
        chosen = st.session_state["rows"]["selection"]["rows"]
        if chosen:
            st.session_state["case"] = dots[chosen[0]].name

    numbers = {name: st.column_config.NumberColumn(format="%.3g" if "GiB" in name else "%.4f")
               for name in columns if "," in name}  # fmt: skip
    place.dataframe(columns, key="rows", hide_index=True, column_config=numbers, on_select=pick,
                    selection_mode="single-row")  # fmt: skip


def _left_out() -> None:
    """Published training runs that no scenario can say, and why."""
    place = st.expander(f"{sum(one.count for one in left_out())} published training runs that are not here",
                        icon=":material/do_not_disturb_on:", key="left-out", on_change="rerun")  # fmt: skip
    if place.open:
        place.html(view.left_out_html())
