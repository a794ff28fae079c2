"""Logging: structlog for Django, Celery and us alike; JSON in production, readable in a terminal.

Every line of a job carries its id, task, queue, attempt, tenant and correlation id, which the
executor binds. Arguments are never logged.
"""

import logging.config
import sys
from typing import Any

import structlog
from celery.signals import setup_logging
from django.conf import settings

from jobs.context import add_context

_SHARED: list[Any] = [
    add_context,
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.stdlib.ExtraAdder(allow=()),
]


def configure_logging() -> None:
    """Set up structlog and the standard library's logging, as the settings say."""
    as_json = settings.LOG_FORMAT == "json"
    renderers: list[Any] = (
        [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
        if as_json
        else [
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
            )
        ]
    )
    structlog.configure(
        processors=[
            *_SHARED,
            structlog.processors.StackInfoRenderer(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, settings.LOG_LEVEL)),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {
                "structlog": {
                    "()": structlog.stdlib.ProcessorFormatter,
                    "foreign_pre_chain": _SHARED,
                    "processors": [
                        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                        *renderers,
                    ],
                }
            },
            "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "structlog"}},
            "root": {"handlers": ["stderr"], "level": settings.LOG_LEVEL},
            "loggers": {
                # Celery's own lines per task repeat ours, without the context.
                "celery.app.trace": {"level": "CRITICAL"},
                "celery.worker.strategy": {"level": "WARNING"},
                # A killed child is told by the lifeline, in one line, with its job.
                "celery.worker.request": {"level": "CRITICAL"},
                "django.server": {"level": "WARNING"},
                "fontTools": {"level": "ERROR"},
                "weasyprint": {"level": "ERROR"},
            },
        }
    )


@setup_logging.connect
def keep_our_logging(**_: Any) -> None:
    """Being connected keeps Celery from setting up its own logging."""
