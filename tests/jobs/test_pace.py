"""How many jobs are claimed at once follows how long they take, carefully upwards."""

from jobs.pace import MOST, WORTH, Pace


def sizes(pace: Pace, duration: float, claims: int) -> list[int]:
    """Claim so often as many jobs as the pace says, each of this duration."""
    seen = []
    for _ in range(claims):
        size = pace.jobs_at_once("q")
        pace.learn("q", duration, size)
        seen.append(size)
    return seen


def test_short_jobs_are_claimed_in_chunks_that_at_most_double() -> None:
    assert sizes(Pace(), 0.0001, 10) == [1, 2, 4, 8, 16, 32, 64, 128, 256, MOST]


def test_long_jobs_are_claimed_one_by_one() -> None:
    assert set(sizes(Pace(), WORTH * 2, 5)) == {1}


def test_one_slow_beginning_is_soon_outweighed() -> None:
    pace = Pace()
    pace.learn("q", 0.02)
    assert max(sizes(pace, 0.0001, 12)) == MOST


def test_a_job_that_takes_long_ends_the_chunks_at_once() -> None:
    pace = Pace()
    sizes(pace, 0.0001, 9)
    pace.learn("q", 1.0)
    assert pace.jobs_at_once("q") == 1


def test_queues_have_paces_of_their_own() -> None:
    pace = Pace()
    sizes(pace, 0.0001, 9)
    assert pace.jobs_at_once("other") == 1
