"""The addresses of the operators' pages, below ``/admin/queues/``."""

from django.urls import path

from jobs.dashboard import (
    queue,
    replays,
    run_task,
    schedule_runs,
    schedules,
    verbs,
    views,
    workflows,
)

app_name = "queues"

urlpatterns = [
    path("", views.queues, name="index"),
    path("jobs/", views.job_list, name="jobs"),
    path("jobs/act/<slug:verb>/", verbs.job_verb, name="job-verb"),
    path("jobs/<str:job_id>/", views.job, name="job"),
    path("jobs/<str:job_id>/edit/", run_task.edit_and_replay, name="edit"),
    path("dead-letters/", views.dead_letters, name="dead-letters"),
    path("replays/", replays.replay_list, name="replays"),
    path("replays/new/", replays.prepare, name="replay-new"),
    path("replays/start/", replays.start, name="replay-start"),
    path("replays/<int:replay_id>/", replays.replay, name="replay"),
    path("replays/<int:replay_id>/stop/", replays.stop, name="replay-stop"),
    path("workflows/", workflows.workflow_list, name="workflows"),
    path("workflows/<str:workflow_id>/", workflows.workflow, name="workflow"),
    path("workflows/<uuid:workflow_id>/cancel/", workflows.cancel, name="workflow-cancel"),
    path("schedules/", schedules.schedule_list, name="schedules"),
    path("schedules/<int:schedule_id>/", schedules.schedule, name="schedule"),
    path("schedules/<int:schedule_id>/run/", schedule_runs.run_by_hand, name="schedule-run"),
    path("run/", run_task.choose, name="run"),
    path("run/<str:name>/", run_task.run, name="run-task"),
    # Names of limits have slashes: email/rate/to.
    path("limits/<path:name>/", queue.change_limit, name="limit"),
    path("<str:name>/", queue.queue, name="queue"),
    path("<str:name>/<slug:verb>/", verbs.queue_verb, name="queue-verb"),
]
