"""Medians, ratios, spreads and numbers."""

import pytest

from benchmarks.figures import Values, add, median, number, quantile, ratio, spread


def test_repeats_are_collected_and_their_median_counts() -> None:
    values: Values = {}
    for drain in (3.0, 100.0, 5.0):
        add(values, "ours", {"drain": drain})
    assert values == {"ours": {"drain": [3.0, 100.0, 5.0]}}
    assert median(values, "ours", "drain") == 5.0
    assert median(values, "ours", "bulk") is None
    assert median(values, "celery", "drain") is None


def test_a_ratio_needs_both_sides() -> None:
    values: Values = {"ours": {"drain": [6.0]}, "celery": {"drain": [2.0, 4.0]}, "oban": {}}
    assert ratio(values, "drain", "ours", "celery") == 2.0
    assert ratio(values, "drain", "ours", "oban") is None
    assert ratio(values, "bulk", "ours", "celery") is None


@pytest.mark.parametrize(("part", "expected"), [(0.0, 1.0), (0.5, 3.0), (0.99, 4.96), (1.0, 5.0)])
def test_a_quantile_is_interpolated(part: float, expected: float) -> None:
    assert quantile([5.0, 3.0, 1.0, 2.0, 4.0], part) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.304, "0.30"),
        (9.996, "10.00"),
        (12.34, "12.3"),
        (99.96, "100.0"),
        (487.3, "487"),
        (4_032.0, "4 030"),
        (217_634.0, "218 000"),
    ],
)
def test_numbers_show_three_digits(value: float, shown: str) -> None:
    assert number(value) == shown


def test_a_spread_is_shown_of_several_values_only() -> None:
    assert spread([2_000.0]) == "2 000"
    assert spread([1_000.0, 4_000.0, 2_000.0]) == "2 000 (1 000–4 000)"
