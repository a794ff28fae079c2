"""The examples of Celery's guide, "Canvas: Designing Work-flows", with what each must give."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, NamedTuple

from celery import chain, chord, group, signature
from celery.result import GroupResult


class Example(NamedTuple):
    """How a workflow is started, and what its result is, or that of what it gives back."""

    name: str
    start: Callable[[SimpleNamespace], Any]
    result: Any
    #: Of the results before it: ``res.parent``, ``res.parent.parent``, …
    parents: tuple[Any, ...] = ()


def value_of(result: Any) -> Any:
    """Return what a result gives, whatever kind it is; the jobs behind it have ended."""
    if isinstance(result, GroupResult):
        return [value_of(part) for part in result.results or []]
    return result.get(timeout=1)


EXAMPLES = [
    # Signatures and partials
    Example("by name", lambda t: signature("tests.add", args=(2, 2)).delay(), 4),
    Example("by the task", lambda t: t.add.signature((2, 2), {"debug": True}).apply_async(), 4),
    Example("delay", lambda t: t.add.delay(2, 2), 4),
    Example("a partial", lambda t: t.add.s(2).delay(4), 6),
    Example("a partial by apply_async", lambda t: t.mul.s(2).apply_async((4,)), 8),
    Example("keywords besides", lambda t: t.add.s(2, 2).apply_async(kwargs={"debug": True}), 4),
    Example("a clone", lambda t: t.add.s(2).clone(args=(4,), kwargs={"debug": True}).delay(), 6),
    # Chains
    Example("a chain", lambda t: chain(t.add.s(2, 2), t.add.s(4), t.add.s(8))(), 16, (8, 4)),
    Example("pipes", lambda t: (t.add.s(2, 2) | t.add.s(4) | t.add.s(8))(), 16, (8, 4)),
    Example(
        "immutable ones",
        lambda t: (t.add.si(2, 2) | t.add.si(4, 4) | t.add.si(8, 8))(),
        16,
        (8, 4),
    ),
    Example("products", lambda t: chain(t.add.s(4, 4), t.mul.s(8), t.mul.s(10))(), 640, (64, 8)),
    Example("a partial chain", lambda t: (t.add.s(4) | t.mul.s(8))(16), 160, (20,)),
    Example(
        "chains in a chain",
        lambda t: (t.add.s(4, 16) | t.mul.s(2) | (t.add.s(4) | t.mul.s(8)))(),
        352,
        (44, 40, 20),
    ),
    Example(
        "a lazy chain",
        lambda t: chain(t.add.s(i) for i in range(10))(3),  # type: ignore[arg-type] # as the guide
        48,
    ),
    Example("a chain of one", lambda t: chain(t.add.s(2, 3))(), 5),
    # Groups
    Example("a group", lambda t: group(t.add.s(2, 2), t.add.s(4, 4))(), [4, 8]),
    Example(
        "a lazy group",
        lambda t: group(t.add.s(i, i) for i in range(10))(),
        [0, 2, 4, 6, 8, 10, 12, 14, 16, 18],
    ),
    Example("a group with partial arguments", lambda t: group(t.add.s(2), t.mul.s(4))(5), [7, 20]),
    Example("an empty group", lambda t: group([])(), []),
    Example("a group of one", lambda t: group(t.add.s(1, 1))(), [2]),
    Example(
        "groups in a group",
        lambda t: group(group(t.add.s(1, 1), t.add.s(2, 2)), t.add.s(3, 3))(),
        [2, 4, 6],
    ),
    Example(
        "chains in a group",
        lambda t: group(t.add.s(1, 1) | t.mul.s(10), t.add.s(2, 2), t.add.s(3, 3) | t.mul.s(2))(),
        [20, 4, 12],
    ),
    Example(
        "a group after a task",
        lambda t: (t.add.s(4, 4) | group(t.add.si(i, i) for i in range(4)))(),
        [0, 2, 4, 6],
        (8,),
    ),
    Example(
        "a result for all of a group",
        lambda t: (
            t.create_user.s() | group(t.import_contacts.s(), t.send_welcome_email.s())
        ).delay(username="artv", first="Art", last="Vandelay", email="art@vandelay.com"),
        ["contacts of artv", "welcome, art@vandelay.com"],
    ),
    # Chords
    Example("a chord", lambda t: chord((t.add.s(i, i) for i in range(10)), t.xsum.s())(), 90),
    Example(
        "a chord by its body",
        lambda t: chord([t.add.s(i, i) for i in range(30)])(t.xsum.s()),
        870,
    ),
    Example(
        "the order of a header",
        lambda t: chord([t.identity.s(i) for i in range(20)], t.identity.s())(),
        list(range(20)),
    ),
    Example(
        "an immutable body",
        lambda t: chord([t.add.s(1, 1), t.add.s(2, 2)], t.notify_complete.si(import_id=7))(),
        7,
    ),
    Example(
        "a group, then a task",
        lambda t: (group(t.add.s(i, i) for i in range(10)) | t.xsum.s())(),
        90,
    ),
    Example("a chord without header", lambda t: chord([], t.xsum.s())(), 0),
    Example(
        "chains in a chord",
        lambda t: chord([t.add.s(1, 1) | t.mul.s(10), t.add.s(2, 2)], t.identity.s())(),
        [20, 4],
    ),
    Example(
        "a chord in a chain",
        lambda t: (t.add.s(1, 1) | group(t.add.s(1), t.mul.s(5)) | t.xsum.s() | t.add.s(100))(),
        113,
        (13,),
    ),
    Example(
        "a chord after a chord",
        lambda t: (
            group(t.add.s(1, 1), t.add.s(2, 2))
            | t.xsum.s()
            | group(t.add.s(1), t.add.s(2))
            | t.xsum.s()
        )(),
        15,
    ),
    Example(
        "a group for a body",
        lambda t: chord([t.add.s(1, 1), t.add.s(2, 2)], group(t.xsum.s(), t.identity.s()))(),
        [6, [2, 4]],
    ),
    Example(
        "chords in a chord",
        lambda t: chord(
            [chord([t.add.s(1, 1), t.add.s(2, 2)], t.xsum.s()), t.add.s(4, 4)], t.identity.s()
        )(),
        [6, 8],
    ),
    Example(
        "a chord of all that there is",
        lambda t: chord(
            [
                chord([t.add.s(1, 1)], group(t.xsum.s(), t.identity.s())),
                chain(t.add.s(1, 2), t.add.s(3)),
                chain(t.add.s(9, 9), group(t.add.s(7), t.add.s(8))),
            ],
            t.identity.s(),
        )(),
        [[2, [2]], 6, [25, 26]],
    ),
    Example(
        "a chain with a callback",
        lambda t: chain(t.add.s(1, 1), t.add.s(2)).apply_async(link=t.mul.s(3)),
        4,
        (2,),
    ),
    # Map, starmap, chunks
    Example("map", lambda t: t.xsum.map([list(range(10)), list(range(100))]).delay(), [45, 4950]),
    Example(
        "starmap",
        lambda t: t.add.starmap(zip(range(10), range(10), strict=True)).delay(),
        [0, 2, 4, 6, 8, 10, 12, 14, 16, 18],
    ),
    Example(
        "chunks",
        lambda t: t.add.chunks(zip(range(100), range(100), strict=True), 10)(),
        [[2 * i for i in range(start, start + 10)] for start in range(0, 100, 10)],
    ),
    Example(
        "chunks as a group",
        lambda t: t.add.chunks(zip(range(4), range(4), strict=True), 2).group()(),
        [[0, 2], [4, 6]],
    ),
    Example(
        "a map in a chain",
        lambda t: (t.xsum.map([[1, 2], [3]]) | t.xsum.s())(),
        6,
        ([3, 3],),
    ),
    # Tasks as ours are: they take keyword arguments only
    Example(
        "given all, they take no result",
        lambda t: (t.count_units.s(warehouse=2) | t.count_units.s(warehouse=3))(),
        3,
        (2,),
    ),
    Example(
        "the first that is required and not given is the result",
        lambda t: chord(
            [t.count_units.s(warehouse=2, scale=10), t.count_units.s(warehouse=3)],
            t.report_units.s(title="Units"),
        )(),
        "Units: [20, 3] end",
    ),
    Example(
        "a map over arguments",
        lambda t: t.count_units.map([{"warehouse": 1}, {"warehouse": 2, "scale": 5}]).delay(),
        [1, 10],
    ),
]
