"""Celery's signatures as plain JSON: what is to follow a job, as its row keeps it.

The form is Celery's own (``task``, ``args``, ``kwargs``, ``options``, ``subtask_type``,
``immutable``), without what only a message would need, so that ``celery.signature(…)`` makes a
signature of it again. Ids were given when the workflow was started.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pydantic import SecretStr

from jobs.errors import EnqueueError

Signature = Mapping[str, Any]

#: Options that say something about a message, or about the call that would send it.
_OF_MESSAGES = frozenset({
    "add_to_parent", "connection", "exchange", "parent_id", "producer", "publisher", "reply_to",
    "root_id", "router", "routing_key",
})  # fmt: skip

_LONGEST_NAME = 200


def plain(value: Any) -> Any:
    """Return a signature, with all that is in it, as dictionaries and lists.

    Raises:
        EnqueueError: a secret is among the arguments; the row would tell it to everybody.
    """
    if isinstance(value, SecretStr):
        raise EnqueueError("A secret cannot wait in a workflow: give it to a job that starts now.")
    if isinstance(value, Mapping):
        if "subtask_type" in value and "options" in value:
            return _plain_signature(value)
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


def _plain_signature(signature: Signature) -> dict[str, Any]:
    options = {
        key: plain(value)
        for key, value in signature["options"].items()
        if key not in _OF_MESSAGES and key != "chord" and value is not None
    }
    # The row of the group has the body; here it is enough that this is a part of the header.
    if signature["options"].get("chord"):
        options["chord"] = True
    return {
        "task": signature["task"],
        "args": plain(signature["args"]),
        "kwargs": plain(signature["kwargs"]),
        "options": options,
        "subtask_type": signature["subtask_type"],
        "immutable": signature["immutable"],
    }


def leaves(signature: Signature) -> Iterator[Signature]:
    """Yield the signatures of single tasks that it runs when all goes well."""
    match kind_of(signature):
        case "chain" | "group":
            for part in signature["kwargs"]["tasks"]:
                yield from leaves(part)
        case "chord":
            for part in _header(signature):
                yield from leaves(part)
            if signature["kwargs"]["body"] is not None:
                yield from leaves(signature["kwargs"]["body"])
        case "chunks":
            given = signature["kwargs"]
            for _ in range(math.ceil(len(given["it"]) / given["n"])):
                yield {**signature, "task": "celery.starmap", "options": {}}
        case _:
            yield signature
    for name in ("link", "chain"):
        for other in listed(signature["options"].get(name)):
            yield from leaves(other)


def ends(signature: Signature) -> Iterator[Signature]:
    """Yield the signatures of single tasks whose success completes it."""
    if later := listed(signature["options"].get("chain")):
        yield from ends(later[0])  # Celery's chains are kept in reverse
        return
    match kind_of(signature):
        case "chain":
            for part in signature["kwargs"]["tasks"][-1:]:
                yield from ends(part)
        case "group":
            for part in signature["kwargs"]["tasks"]:
                yield from ends(part)
        case "chord" if signature["kwargs"]["body"] is not None:
            yield from ends(signature["kwargs"]["body"])
        case _:
            yield signature


def kind_of(signature: Signature) -> str:
    """Return ``chain``, ``group``, ``chord``, ``chunks`` or, for a single task, ``task``."""
    if signature["task"] == "celery.chunks":
        return "chunks"
    kind = signature["subtask_type"]
    return kind if kind in {"chain", "group", "chord"} else "task"


def arguments(signature: Signature) -> dict[str, Any]:
    """Return the named arguments of a single task; none of a chain, a group, a chord."""
    return dict(signature["kwargs"]) if kind_of(signature) == "task" else {}


def told(signature: Signature) -> str:
    """Return a signature in few words: ``sales.render | (3 × sales.check) | sales.close``."""
    text = _told(signature)
    return text if len(text) <= _LONGEST_NAME else text[: _LONGEST_NAME - 1] + "…"


def _told(signature: Signature) -> str:
    given = signature["kwargs"]
    match kind_of(signature):
        case "chain":
            told = " | ".join(_told(part) for part in given["tasks"])
        case "group":
            told = _told_together(given["tasks"])
        case "chord":
            told = _told_together(_header(signature))
            if given["body"] is not None:
                told += f" | {_told(given['body'])}"
        case "chunks":
            told = f"{math.ceil(len(given['it']) / given['n'])} × {given['task']['task']}"
        case _:
            mapped = signature["task"] in {"celery.map", "celery.starmap"}
            told = str(given["task"]["task"] if mapped else signature["task"])
    later = listed(signature["options"].get("chain"))
    return " | ".join([told, *(_told(part) for part in reversed(later))])


def _told_together(parts: Iterable[Signature]) -> str:
    counts: dict[str, int] = {}
    for part in parts:
        name = _told(part)
        counts[name] = counts.get(name, 0) + 1
    told = ", ".join(f"{times} × {name}" if times > 1 else name for name, times in counts.items())
    return f"({told})"


def listed(value: Any) -> list[Any]:
    """Return an option that Celery takes as one or as many."""
    if value is None:
        return []
    return list(value) if isinstance(value, list | tuple) else [value]


def _header(chord: Signature) -> list[Signature]:
    header = chord["kwargs"]["header"]
    return list(header["kwargs"]["tasks"] if isinstance(header, Mapping) else header)
