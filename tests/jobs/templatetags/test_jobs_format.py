"""How figures are written for people."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from jobs.dashboard.charts import throughput_bars
from jobs.selectors import Minute
from jobs.templatetags.jobs_format import arguments, duration, moment, percent


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "–"),
        (0, "0 ms"),
        (0.0034, "3 ms"),
        (1.24, "1.2 s"),
        (42.9, "42 s"),
        (60, "1 min"),
        (245, "4 min 5 s"),
        (3600, "1 h"),
        (7860, "2 h 11 min"),
        (97_200, "1 d 3 h"),
    ],
)
def test_a_duration_is_written_in_its_two_largest_units(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("delta", "text"),
    [
        (timedelta(), "now"),
        (timedelta(seconds=-15.5), "15 s ago"),
        (timedelta(minutes=-125), "2 h ago"),
        (timedelta(minutes=20, seconds=30), "in 20 min"),
    ],
)
def test_a_moment_is_written_relative_to_now_with_the_full_time_as_title(
    delta: timedelta, text: str
) -> None:
    at = datetime.now(UTC) + delta
    html = moment(at)
    assert f">{text}<" in html
    assert f'datetime="{at.isoformat()}"' in html


@pytest.mark.parametrize(
    ("progress", "expected"),
    [
        ({"done": 1, "total": 4}, 25),
        ({"done": 9, "total": 4}, 100),
        ({"done": -1, "total": 4}, 0),
        ({"done": 1, "total": 0}, None),
        ({"done": "1", "total": 4}, None),
        (None, None),
        ("x", None),
    ],
)
def test_progress_that_makes_no_sense_has_no_bar(progress: Any, expected: float | None) -> None:
    assert percent(progress) == expected


def test_arguments_are_written_in_a_line_without_those_not_given() -> None:
    assert arguments({"order_id": 7, "note": None, "to": "ä"}) == 'order_id=7 to="ä"'


def test_the_highest_bar_fills_the_chart_and_the_smallest_is_seen() -> None:
    tall, small = throughput_bars([Minute(succeeded=900, dead=100), Minute(dead=1)])
    assert tall.good + tall.bad == pytest.approx(40)
    assert tall.good == pytest.approx(36)
    assert small.bad > 1
    assert (small.good, throughput_bars([Minute()])[0].bad) == (0, 0)
