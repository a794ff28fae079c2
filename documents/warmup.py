"""Loads WeasyPrint before a prefork worker forks, so that its children share it.

It takes half a second and 50 MB, which each child would spend for itself at its first document.
"""

from typing import Any

from celery.signals import worker_init


@worker_init.connect
def load_renderer(sender: Any, **_: Any) -> None:
    """Load WeasyPrint in the parent of a pool that renders; nobody else needs it."""
    pool = sender.pool_cls if isinstance(sender.pool_cls, str) else sender.pool_cls.__module__
    if "prefork" in pool and "pdf" in sender.app.amqp.queues.consume_from:
        import weasyprint  # noqa: F401 - for its being loaded
