"""The composition of the product: settings, addresses, schedules, the Celery application."""

import sys


def _load_structlog_alone() -> None:
    """Import structlog as if rich were not there: of that it would take tracebacks we never print.

    Each worker would carry 6 MB of them.
    """
    if "rich" in sys.modules:
        return
    sys.modules["rich"] = None  # type: ignore[assignment]  # importing it fails, so says Python
    try:
        import structlog  # noqa: F401
    finally:
        del sys.modules["rich"]


_load_structlog_alone()

from erp.celery import app as celery_app  # noqa: E402 - structlog comes first

__all__ = ["celery_app"]
