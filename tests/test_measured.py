"""The published measurements are well formed, and the stated ranges hold what the issue promises of them."""

from __future__ import annotations

import pytest

import memcalc
from memcalc.measured import Measurement, measurements


@pytest.mark.parametrize("case", measurements(), ids=lambda case: case.id)
def test_a_measurement_names_its_source_and_is_near_its_estimate(case: Measurement) -> None:
    """A slip of a unit (GB for GiB, MB for GB) or a wrong model would show as more than a third."""
    assert case.source
    assert case.software
    assert 0 < case.digits < case.measured
    estimated = memcalc.estimate(case.scenario).peak[case.what]
    assert abs(estimated / case.measured - 1) < (0.1 if not case.differs else 1.0)


def test_ids_are_unique() -> None:
    names = [case.id for case in measurements()]
    assert len(names) == len(set(names))


def test_the_stated_range_holds_nine_of_ten_runs_of_the_code_that_is_meant() -> None:
    held = []
    for case in measurements():
        if not case.differs:
            low, high = memcalc.estimate(case.scenario).range[case.what]
            held.append(low - case.digits <= case.measured <= high + case.digits)
    assert sum(held) >= 0.9 * len(held)
