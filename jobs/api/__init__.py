"""The HTTP API under ``/api/``: health, jobs, queues, dead letters, schedules,
tasks.

Callers show a session cookie (with the CSRF token for anything but reading) or a bearer token.
Viewers look, operators act. What goes wrong is answered as
``{"detail": …, "problems": {field: …}}`` with 400 or 413 (what was sent cannot be read, or is too
large), 401, 403, 404, 409 (not possible in this state) or 422 (what was sent does not fit).
"""
