"""Arguments by position get their names: the payload of a job is an object of named arguments."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from jobs.errors import EnqueueError, InvalidPayload


def bind(
    body: Callable[..., Any], task: str, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> dict[str, Any]:
    """Name what a caller gives by position, as Python does.

    Raises:
        EnqueueError: the task takes keyword arguments only.
        InvalidPayload: there are too many, or one is given by its name, too.
    """
    if not args:
        return dict(kwargs)
    names = _positional(body)
    if not names:
        raise EnqueueError(f"{task} takes keyword arguments only, not {len(args)} others")
    if len(args) > len(names):
        problem = f"at most {len(names)} by position, but {len(args)} are given"
        raise InvalidPayload(task, {"arguments": problem})
    named = dict(zip(names, args, strict=False))
    if twice := named.keys() & kwargs.keys():
        raise InvalidPayload(task, dict.fromkeys(sorted(twice), "given by position and by name"))
    return {**named, **kwargs}


def bind_passed_on(
    body: Callable[..., Any], task: str, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> dict[str, Any]:
    """Name what a workflow passes on: the result of the job before, or the results of a group.

    A task that takes keyword arguments only gets it as the first argument that it requires and was
    not given. A task that was given all that it requires does not get it.

    Raises:
        InvalidPayload: like :func:`bind`.
    """
    if not args or _positional(body):
        return bind(body, task, args, kwargs)
    missing = [
        parameter.name
        for parameter in inspect.signature(body).parameters.values()
        if parameter.default is parameter.empty and parameter.name not in kwargs
    ]
    return {**dict(zip(missing, args, strict=False)), **kwargs}


def bind_failure(
    body: Callable[..., Any],
    given: tuple[Sequence[Any], Mapping[str, Any]],
    *,
    job_id: str,
    failure: Mapping[str, Any],
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return what an error callback takes beside the arguments that it was ``given``.

    All of ``failure`` (by its names, or by position in its order) when it has room for it, or just
    the id of the failed job.
    """
    args, kwargs = given
    names = list(inspect.signature(body).parameters)
    free = [name for name in _positional(body)[len(args) :] if name not in kwargs]
    if failure.keys() <= set(names) - kwargs.keys() and not args:
        return (), dict(failure)
    if len(free) >= len(failure):
        return tuple(failure.values()), {}
    return (job_id,), {}


def takes_positions(body: Callable[..., Any]) -> bool:
    """Say whether the task takes arguments by position."""
    return bool(_positional(body))


def _positional(body: Callable[..., Any]) -> list[str]:
    return [
        parameter.name
        for parameter in inspect.signature(body).parameters.values()
        if parameter.kind is parameter.POSITIONAL_OR_KEYWORD
    ]
