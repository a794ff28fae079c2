"""The engine as a backend of the Tasks API: any app's ``@task`` is a durable job here.

The API is that of the package ``django_tasks``, which Django 6 took over as ``django.tasks``. All
that is used of it is imported by name in this package: for Django's own, the imports change, and
``InvalidTaskError`` is called ``InvalidTask``; its tests are ours already.
"""

from jobs.django_tasks.backend import JobsBackend

__all__ = ["JobsBackend"]
