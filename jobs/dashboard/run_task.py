"""Running a task by hand, and replaying a dead job with other arguments."""

from datetime import timedelta

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_http_methods, require_safe

from jobs import operations, selectors
from jobs.dashboard.pages import render, staff_view
from jobs.dashboard.task_form import OptionsForm, TaskForm
from jobs.enqueue import enqueue_by_name
from jobs.errors import EnqueueError, InvalidPayload, NotPossible, UnknownTask
from jobs.models import Job
from jobs.permissions import actor_of, may_operate
from jobs.task import get_task, registry


@require_safe
@staff_view(may_operate)
def choose(request: HttpRequest) -> HttpResponse:
    """List the tasks that can be run, by queue."""
    definitions = [task.definition for _, task in sorted(registry().items())]
    definitions.sort(key=lambda definition: definition.queue)
    return render(request, "choose_task", {"title": "Run a task", "definitions": definitions})


@require_http_methods(["GET", "HEAD", "POST"])
@staff_view(may_operate)
def run(request: HttpRequest, name: str) -> HttpResponse:
    """Ask for a task's arguments, and enqueue it."""
    try:
        task = get_task(name)
    except UnknownTask as error:
        raise Http404(str(error)) from None
    data = request.POST if request.method == "POST" else None
    form, options = TaskForm(task, data), OptionsForm(data)
    # Both are checked before either is refused: whatever is wrong is said at once.
    if request.method == "POST" and all([form.fits(task), options.is_valid()]):
        chosen = options.cleaned_data
        try:
            job = enqueue_by_name(
                name,
                form.payload(),
                queue=chosen["queue"] or None,
                priority=chosen["priority"],
                tenant=chosen["tenant"] or None,
                delay=timedelta(seconds=chosen["delay"]) if chosen["delay"] else None,
                expires=timedelta(seconds=chosen["expires"]) if chosen["expires"] else None,
            )
        except InvalidPayload as error:
            form.show_problems(error)
        except EnqueueError as error:
            form.add_error(None, str(error))
        else:
            if job.is_twin:
                messages.info(request, "A job like it was there already: this one.")
            else:
                messages.success(request, f"{name} is enqueued.")
            return redirect("queues:job", job_id=job.id)
    context = {
        "title": f"Run {name}",
        "definition": task.definition,
        "form": form,
        "options": options,
    }
    return render(
        request, "run_task", context, status=422 if form.errors or options.errors else 200
    )


@require_http_methods(["GET", "HEAD", "POST"])
@staff_view(may_operate)
def edit_and_replay(request: HttpRequest, job_id: str) -> HttpResponse:
    """Ask how the arguments of a dead job should change, and replay it with them.

    Secret arguments are not shown; left empty, they stay as they are.
    """
    try:
        job = selectors.get_job(job_id)
        task = get_task(job.task)
    except (Job.DoesNotExist, UnknownTask) as error:
        raise Http404(str(error)) from None
    form = TaskForm(task, request.POST if request.method == "POST" else None, given=job.payload)
    if request.method == "POST" and form.is_valid():
        try:
            new = operations.replay(job.id, actor=actor_of(request.user), payload=form.payload())
        except InvalidPayload as error:
            form.show_problems(error)
        except (NotPossible, EnqueueError) as error:
            form.add_error(None, str(error))
        else:
            messages.success(request, f"{job.task} is enqueued again, with these arguments.")
            return redirect("queues:job", job_id=new.id)
    context = {
        "title": f"Edit and replay {job.task}",
        "definition": task.definition,
        "form": form,
        "job": job,
    }
    return render(request, "run_task", context, status=422 if form.errors else 200)
