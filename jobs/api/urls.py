"""Puts the API together: ``path("api/", api.urls)``."""

from django.contrib.admin.views.decorators import staff_member_required
from ninja import NinjaAPI

from jobs.api import (
    dead_letter_routes,
    health_routes,
    job_routes,
    limit_routes,
    queue_routes,
    replay_routes,
    schedule_routes,
    task_routes,
    workflow_routes,
)
from jobs.api.auth import Viewer
from jobs.api.problems import add_handlers

api = NinjaAPI(
    title="Jobs",
    version="1",
    description="Queues, jobs, dead letters, schedules and tasks. Viewers look, operators act.",
    urls_namespace="api",
    auth=Viewer(),
    docs_decorator=staff_member_required,
)
api.add_router("/health", health_routes.router)
api.add_router("/jobs", job_routes.router)
api.add_router("/queues", queue_routes.router)
api.add_router("/limits", limit_routes.router)
api.add_router("/dead-letters", dead_letter_routes.router)
api.add_router("/replays", replay_routes.router)
api.add_router("/schedules", schedule_routes.router)
api.add_router("/tasks", task_routes.router)
api.add_router("/workflows", workflow_routes.router)
add_handlers(api)
