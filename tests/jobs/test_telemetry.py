"""Log lines: JSON that names the job, and never its arguments."""

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import structlog
from django.test import override_settings
from pydantic import SecretStr

from jobs import job_task
from jobs.errors import PermanentError
from jobs.telemetry import configure_logging
from jobs.testing import run_jobs

log = structlog.get_logger(__name__)


class Lines:
    """What was logged, as JSON."""

    def __init__(self) -> None:
        self.stream = StringIO()

    def read(self) -> list[dict[str, Any]]:
        """Return all lines so far."""
        return [json.loads(line) for line in self.stream.getvalue().splitlines()]


def handler() -> "logging.StreamHandler[Any]":
    """Return the one that writes the log to standard error."""
    (found,) = (item for item in logging.getLogger().handlers if item.name == "stderr")
    assert isinstance(found, logging.StreamHandler)
    return found


@contextmanager
def logging_to(stream: StringIO, **names: str) -> Iterator[None]:
    """Set logging up by these settings, and write to ``stream`` what goes to standard error."""
    before = handler().stream
    with override_settings(**names):
        configure_logging()
        handler().setStream(stream)
        yield
    configure_logging()
    handler().setStream(before)


@pytest.fixture
def lines() -> Iterator[Lines]:
    told = Lines()
    with logging_to(told.stream, LOG_FORMAT="json", LOG_LEVEL="INFO"):
        yield told


@pytest.mark.django_db
def test_every_line_of_a_job_names_it(lines: Lines) -> None:
    @job_task(name="tests.talk", queue="email")
    def talk() -> None:
        log.info("talked", words=3)
        logging.getLogger("some.library").warning("said %s", "this")

    job = talk.using(tenant="acme").enqueue()
    run_jobs()
    told = lines.read()
    assert [line["event"] for line in told] == ["talked", "said this", "job_ended"]
    for line in told:
        assert (line["job_id"], line["task"], line["queue"], line["attempt"]) == (
            str(job.id),
            "tests.talk",
            "email",
            1,
        )
        assert (line["tenant"], line["correlation_id"]) == ("acme", job.correlation_id)
        assert line["timestamp"].endswith("Z")
        assert line["level"] in {"info", "warning"}
    assert told[0]["words"] == 3
    assert (told[2]["outcome"], told[2]["state"]) == ("succeeded", "succeeded")
    assert told[2]["duration"] >= 0
    assert told[2]["waited"] >= 0


@pytest.mark.django_db
@pytest.mark.parametrize("fails", [False, True])
def test_arguments_results_and_error_texts_are_never_logged(lines: Lines, fails: bool) -> None:
    @job_task(name="tests.private", queue="imports")
    def private(*, name: str, token: SecretStr) -> str:
        if fails:
            raise ValueError(f"{name} failed with {token.get_secret_value()}")
        return f"{name} is done"

    private.enqueue(name="Ann Private", token=SecretStr("t0ken-of-ann"))
    run_jobs()
    told = lines.read()
    assert told[-1].get("error_type") == ("ValueError" if fails else None)
    for private_text in ("Ann", "Private", "t0ken"):
        assert private_text not in lines.stream.getvalue().replace("tests.private", "")


@pytest.mark.django_db
def test_the_context_ends_with_the_job(lines: Lines) -> None:
    @job_task(name="tests.broken", queue="email")
    def broken() -> None:
        raise PermanentError("broken")

    broken.using(tenant="acme").enqueue()
    run_jobs()
    log.info("afterwards")
    *_, line = lines.read()
    assert not {"job_id", "task", "queue", "attempt", "tenant", "correlation_id"} & set(line)


def test_an_exception_is_one_line_with_its_traceback(lines: Lines) -> None:
    try:
        Path("/no/such/file").stat()
    except OSError:
        log.exception("lost")
    (line,) = lines.read()
    assert (line["event"], line["level"]) == ("lost", "error")
    assert "FileNotFoundError: [Errno 2]" in line["exception"]


def test_a_line_break_in_what_is_logged_does_not_make_another_line(lines: Lines) -> None:
    log.info("named", name='one\n{"event": "forged"}')
    (line,) = lines.read()
    assert line["event"] == "named"


def test_lines_below_the_level_are_left_out(lines: Lines) -> None:
    logging.getLogger("some.library").debug("detail")
    assert lines.read() == []


def test_a_terminal_gets_lines_for_people() -> None:
    told = StringIO()
    with logging_to(told, LOG_FORMAT="console"):
        log.info("greeted", name="Ann")
    assert "greeted" in told.getvalue()
    assert "name=Ann" in told.getvalue()
    assert not told.getvalue().startswith("{")
