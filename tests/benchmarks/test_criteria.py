"""Promises are judged by ratios of one run."""

from benchmarks.criteria import growth_verdict, keeps, verdicts
from benchmarks.figures import Values


def test_a_promise_is_reached_or_not_by_its_ratio() -> None:
    values: Values = {"ours": {"drain": [1_600.0]}, "celery": {"drain": [1_000.0]}}
    (verdict,) = (one for one in verdicts(values, 1) if "least 1.5 times raw" in one.promise)
    assert verdict.reached is True
    assert verdict.found == "1.60 times"
    values["ours"]["drain"] = [1_400.0]
    (verdict,) = (one for one in verdicts(values, 1) if "least 1.5 times raw" in one.promise)
    assert verdict.reached is False


def test_less_is_better_for_times_and_memory() -> None:
    values: Values = {
        "ours": {"pickup_p50": [4.0], "memory": [200.0]},
        "celery": {"pickup_p50": [3.0]},
        "celery-results": {"memory": [150.0]},
    }
    reached = {one.promise: one.reached for one in verdicts(values, 1)}
    assert reached["pickup at low load: p50 at most 1.5 times raw Celery's"] is True
    assert reached["worker memory: at most that of Celery + django-celery-results"] is False


def test_what_was_not_measured_is_neither_reached_nor_missed() -> None:
    assert {one.reached for one in verdicts({}, 1)} == {None}


def test_enqueueing_is_compared_with_the_pool_of_celerys_settings() -> None:
    values: Values = {
        "ours": {"enqueue": [900.0], "with_row": [600.0], "bulk": [27_000.0]},
        "celery-results": {"enqueue": [800.0], "with_row": [500.0]},
        "celery-results-tuned": {"enqueue": [1_000.0], "with_row": [300.0]},
    }
    found = [one.found for one in verdicts(values, 1) if one.reached is not None]
    assert found == ["1.00 times", "1.50 times", "30.0 times"]
    del values["celery-results-tuned"]
    found = [one.found for one in verdicts(values, 1) if one.reached is not None]
    assert found == ["1.12 times", "1.20 times", "33.8 times"]


def test_the_pool_has_the_figures_of_all_repeats_and_the_range_those_of_one() -> None:
    values: Values = {
        "ours": {"enqueue": [800.0, 900.0, 1_000.0]},
        "celery-results": {"enqueue": [500.0, 600.0, 1_500.0]},
        "celery-results-tuned": {"enqueue": [300.0, 1_200.0, 2_500.0]},
    }
    # The pool is 300, 500, 600, 1200, 1500, 2500, and of the repeats 400, 900 and 2000.
    (found,) = (one.found for one in verdicts(values, 3) if one.reached is not None)
    assert found == "1.00 times (0.50–2.00)"


def test_a_repeat_that_found_nothing_leaves_no_range() -> None:
    values: Values = {"ours": {"drain": [3.0, 4.0]}, "celery": {"drain": [1.0, 2.0, 3.0]}}
    (found,) = (one.found for one in verdicts(values, 3) if one.reached is not None)
    assert found == "1.75 times"


def test_growth_is_judged_by_the_figure_that_suffers_most() -> None:
    grown: Values = {
        "10 thousand": {"drain": [1_000.0], "listing": [2.0]},
        "10 million": {"drain": [900.0], "listing": [4.0]},
    }
    assert keeps(grown, "drain", "10 thousand", "10 million") == 0.9
    assert keeps(grown, "listing", "10 thousand", "10 million") == 0.5
    verdict = growth_verdict(grown, "10 thousand", "10 million")
    assert verdict.reached is False
    assert verdict.found == "the least is 0.50, of listing"
    grown["10 million"]["listing"] = [2.2]
    assert growth_verdict(grown, "10 thousand", "10 million").reached is True
    assert growth_verdict({}, "10 thousand", "10 million").reached is None
