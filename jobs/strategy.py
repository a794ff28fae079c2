"""How a Celery worker takes a message of ours: whatever it looks like, it must not end the worker.

Celery trusts messages to be whole. One that is not would raise in its consumer and end the process,
go back to its queue, and end the next one. A message is only a bell, so a broken one is
acknowledged and forgotten; the stager rings again if a job still waits.
"""

import logging
from collections.abc import Callable
from typing import Any

import structlog
from celery.worker.strategy import default

from jobs import listening
from jobs.carrier import keeps_messages

log = structlog.get_logger(__name__)
_plain_log = logging.getLogger(__name__)


def strategy(task: Any, app: Any, consumer: Any, **options: Any) -> Callable[..., Any]:
    """Return what handles the messages of ``task``; see ``celery.app.task.Task.Strategy``."""
    handle = default(task, app, consumer, **options)
    keeps = keeps_messages(app)

    def handle_safely(
        message: Any, body: Any, ack: Any, reject: Any, *rest: Any, **more: Any
    ) -> Any:
        try:
            if not keeps:  # it is gone already: to say so would be a trip to Redis
                ack = reject = _say_nothing
                listening.may_listen(message, consumer)
            return handle(message, body, ack, reject, *rest, **more)
        except consumer.connection_errors:
            raise  # not the message's fault: the consumer connects again
        except Exception as error:  # noqa: BLE001 - the consumer would end with its process
            log.warning("message_refused", task=task.name, error=type(error).__name__)
            ack(_plain_log, consumer.connection_errors)
            return None

    return handle_safely


def _say_nothing(*_: Any) -> None:
    """Neither acknowledge nor reject."""
