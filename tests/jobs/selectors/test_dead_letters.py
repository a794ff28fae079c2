"""Dead letters by filter, page by page."""

import pytest

from jobs import selectors
from jobs.models import DeadLetter
from jobs.selectors import DeadLetterFilter
from tests.jobs.records import ago, make_dead_letter

pytestmark = pytest.mark.django_db


def test_the_latest_death_comes_first_and_pages_meet_even_at_the_same_instant() -> None:
    instant = ago(minutes=5)
    letters = [make_dead_letter(finished_at=instant) for _ in range(3)][::-1]
    newest = make_dead_letter(finished_at=ago(minutes=1))
    first = selectors.list_dead_letters(limit=2)
    assert first.items == [newest, letters[0]]
    second = selectors.list_dead_letters(limit=2, before=first.older or "")
    assert second.items == letters[1:]
    assert selectors.list_dead_letters(limit=2, after=second.newer or "").items == first.items


def test_those_decided_about_are_listed_apart() -> None:
    waiting, decided = make_dead_letter(), make_dead_letter()
    DeadLetter.objects.filter(job=decided.job).update(decision="discarded")
    assert selectors.list_dead_letters().items == [waiting]
    assert selectors.list_dead_letters(DeadLetterFilter(decided=True)).items == [decided]
    assert selectors.count_dead_letters() == 1


def test_the_filter_restricts() -> None:
    make_dead_letter()
    letter = make_dead_letter(queue="pdf", tenant="acme")
    wanted = DeadLetterFilter(queue="pdf", tenant="acme", error_type="ValueError")
    assert selectors.list_dead_letters(wanted).items == [letter]
