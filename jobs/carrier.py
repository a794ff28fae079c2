"""How Celery must be set to carry jobs: a message is a wake-up that may be lost or doubled.

Each setting answers a fault of the Redis transport that was measured; see
``docs/explanation/delivery.md`` and the ADRs.
"""

import gc
from typing import Any

from billiard import pool
from celery import Celery
from celery.signals import worker_init
from kombu import Exchange, Queue

from jobs.queues import QUEUES

# A process of a pool that ends waits for its parent to read its last answers, which a parent that
# stops may never do. The settlement said all there is to say: half a second is enough, not 30.
pool.GUARANTEE_MESSAGE_CONSUMPTION_RETRY_LIMIT = 5


@worker_init.connect
def share_memory(**_: Any) -> None:
    """Take what is loaded by now out of the garbage collector's sight: a fork shares it.

    The collector writes to all that it looks at, and a page that is written to is copied.
    """
    gc.collect()
    gc.freeze()


def take_without_keeping(app: Celery) -> None:
    """Have this process's workers take messages off Redis for good, as they come.

    kombu keeps a copy of each until it is acknowledged: two more trips to Redis, one of them before
    the worker hears of the message, for a recovery that takes hours. Nobody needs it: the stager
    rings again for a bell that was lost. The copies are also what kombu counts to know when to stop
    prefetching, so this is for workers that do not prefetch.
    """
    for queue in app.amqp.queues.values():
        queue.no_ack = True


def keeps_messages(app: Celery) -> bool:
    """Say whether messages must be acknowledged."""
    return not all(queue.no_ack for queue in app.amqp.queues.consume_from.values())


class JobsCelery(Celery):
    """A Celery application whose ``send_task`` is durable too: `celery call` and Flower use it."""

    control_cls = "jobs.celery_control:JobsControl"

    def send_task(self, name: str, args: Any = None, kwargs: Any = None, **options: Any) -> Any:  # type: ignore[override]
        """Make a job of it; see :func:`jobs.canvas.send`."""
        self.loader.import_default_modules()
        from jobs.canvas import send

        return send(name, args or (), kwargs or {}, options)


def celery_settings(broker_url: str) -> dict[str, Any]:
    """Return Celery's settings for this broker."""
    return {
        "broker_url": broker_url,
        "result_backend": "jobs.result_backend.JobsBackend",
        "task_ignore_result": True,  # settlement writes the result, in its own transaction
        "task_track_started": False,
        "task_queues": [Queue(name, Exchange(""), routing_key=name) for name in QUEUES],
        "task_default_queue": "maintenance",
        "task_create_missing_queues": False,
        # Acknowledged when received: what a lost worker ran is known from its lease, and late
        # acknowledgement would only run it twice. A prefork worker is started with
        # --disable-prefetch on top: no message waits behind a long job, and none needs to be kept.
        "task_acks_late": False,
        "worker_prefetch_multiplier": 1,
        "accept_content": ["json"],
        "task_serializer": "json",
        "result_serializer": "json",
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "broker_channel_error_retry": True,
        "broker_pool_limit": 10,
        "broker_pool_acquire_timeout": 2,
        "broker_transport_options": {
            "socket_timeout": 5,
            "socket_connect_timeout": 2,
            "socket_keepalive": True,
            "health_check_interval": 25,
            "visibility_timeout": 21_600,
            "unacked_restore_throttle": 1,
            # A publish tries twice, at once: the caller does not wait for a broker that is down.
            "max_retries": 1,
            "interval_start": 0,
        },
        "worker_send_task_events": False,  # they would be of messages: see jobs.events
        "worker_hijack_root_logger": False,
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "worker_proc_alive_timeout": 30,
        "beat_scheduler": "jobs.schedules.celery_beat:DurableScheduler",
        "timezone": "UTC",
        "enable_utc": True,
        # Celery's Django fix-up would close the connection around every job; the executor checks
        # it instead.
        "CELERY_DB_REUSE_MAX": 10**12,
    }
