"""How many finished jobs, and how far back they lie."""

import pytest
from django.db import connection

from benchmarks.growth import MOST_OLD, Ages, label, number_of


@pytest.mark.parametrize(
    ("text", "number"),
    [("10k", 10_000), ("1m", 1_000_000), ("2.5M", 2_500_000), ("2.3m", 2_300_000), ("3000", 3_000)],
)
def test_numbers_of_rows_are_read_from_words(text: str, number: int) -> None:
    assert number_of(text) == number


@pytest.mark.parametrize(
    "text",
    ["", "many", "10", "1.0005k", "-1m", "inf", "nan", "10x", "10kmkm", "1e9"],
)
def test_what_is_no_number_of_rows_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected 1000 rows or more, as in 10k, 1m"):
        number_of(text)


def test_numbers_of_rows_are_told_in_words() -> None:
    assert [label(10_000), label(1_000_000), label(2_500_000), label(1_234)] == [
        "10 thousand",
        "1 million",
        "2500 thousand",
        "1234",
    ]


def test_half_of_the_jobs_but_not_too_many_are_past_their_retention() -> None:
    assert Ages(10_000).old == 5_000
    assert Ages(50_000_000).old == MOST_OLD


@pytest.mark.django_db
def test_the_oldest_jobs_come_first_and_none_is_of_the_future() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {Ages(1_000).sql('n')} FROM generate_series(0, 999) AS n ORDER BY n"
        )
        ages = [age for (age,) in cursor.fetchall()]
    days = [age / 86_400 for age in ages]
    assert days == sorted(days, reverse=True)
    assert sum(day > 7 for day in days) == 500
    assert days[0] == pytest.approx(9)
    assert ages[-1] > 0
