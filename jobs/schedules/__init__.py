"""Schedules: what runs by itself, exactly once, at the right local time.

A schedule stands in django-celery-beat's tables, with rules of its own beside it
(:mod:`~jobs.schedules.models`). :mod:`~jobs.schedules.timing` says when it is due,
:mod:`~jobs.schedules.rules` what is done about an instant that is due, and
:mod:`~jobs.schedules.scheduler` does it: firing, job and next instant in one transaction.
"""
