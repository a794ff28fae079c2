"""The addresses of the operators' pages, below ``/admin/queues/``."""

from django.urls import path

from jobs.dashboard import run_task, verbs, views

app_name = "queues"

urlpatterns = [
    path("", views.queues, name="index"),
    path("jobs/", views.job_list, name="jobs"),
    path("jobs/act/<slug:verb>/", verbs.job_verb, name="job-verb"),
    path("jobs/<str:job_id>/", views.job, name="job"),
    path("jobs/<str:job_id>/edit/", run_task.edit_and_replay, name="edit"),
    path("dead-letters/", views.dead_letters, name="dead-letters"),
    path("run/", run_task.choose, name="run"),
    path("run/<str:name>/", run_task.run, name="run-task"),
    path("<str:name>/<slug:verb>/", verbs.queue_verb, name="queue-verb"),
]
