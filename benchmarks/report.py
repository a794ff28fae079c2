"""The tables: figures with their spread, promises with what came of them, configurations."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from benchmarks.criteria import Verdict, growth_verdict, keeps, verdicts
from benchmarks.figures import FIGURES, PARTS, Values, median, number, ratio, spread
from benchmarks.results import Results
from benchmarks.systems import SYSTEMS

_MEASURED = re.compile(r"(<!-- measured -->\n).*?(<!-- /measured -->)", re.DOTALL)
#: Above the growth tables.
_GROWTH = "### With finished jobs behind it"
#: Fewer repeats are not for the page.
REPEATS = 3
#: Above this load before the run, somebody else used the machine.
QUIET_LOAD = 0.5
#: Columns of a table: none, all but the first, all between the first and the last.
TEXT, FIRST_TEXT, ENDS_TEXT = slice(0, 0), slice(1, None), slice(1, -1)


def page(text: str, results: Results) -> str:
    """Return the page with this run between its marks; raises ``ValueError`` without marks."""
    fresh, found = _MEASURED.subn(lambda marks: f"{marks[1]}\n{render(results)}\n{marks[2]}", text)
    if found != 1:
        raise ValueError("the page has no <!-- measured --> … <!-- /measured -->")
    return fresh


def render(results: Results) -> str:
    """Return the run as Markdown."""
    parts = [
        _conditions(results),
        _figures(results.values),
        _ratios(results.values),
        _verdicts(results),
        _grown(results.grown),
        _systems(results),
        _troubles(results),
    ]
    return "\n".join(part for part in parts if part).rstrip() + "\n"


def write(path: Path, results: Results) -> None:
    """Renew the page."""
    path.write_text(page(path.read_text(), results))


def shows_growth(text: str) -> bool:
    """Say whether the page ``text`` has growth tables."""
    return _GROWTH in text


def objection(text: str, results: Results) -> str:
    """Return why this run is too little for the page ``text``; empty when it may renew it.

    A peer may fail, which is told of. Ours may not, and all of it must have been measured.
    """
    for failure in results.failures:
        if _who(failure) not in SYSTEMS or _who(failure) == "ours":
            return failure
    told = {*results.configurations, *results.skipped, *map(_who, results.failures)}
    if absent := [one.name for one in SYSTEMS.values() if one.usual and one.name not in told]:
        return f"not measured: {', '.join(absent)}"
    parts = {FIGURES[name].part for name in results.values.get("ours", {})}
    if absent := [part for part in PARTS if part not in parts]:
        return f"not measured of ours: {', '.join(absent)}"
    if results.repeats < REPEATS:
        return f"fewer than {REPEATS} repeats"
    if shows_growth(text) and not any(results.grown.values()):
        return "growth was not measured, and the page has tables of it"
    return ""


def _who(failure: str) -> str:
    """Return the system in ``2/3 system: what``; of other failures, no system."""
    return failure.partition(":")[0].rpartition(" ")[2]


def table(header: Sequence[str], rows: Iterable[Sequence[str]], numbers: slice = TEXT) -> str:
    """Return a Markdown table; the columns ``numbers`` are aligned to the right."""
    rule = ["---"] * len(header)
    rule[numbers] = ["---:"] * len(rule[numbers])
    lines = [header, rule, *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _conditions(results: Results) -> str:
    busy = ""
    if results.load_before > QUIET_LOAD:
        busy = (
            " The machine was busy with something else: take the figures with care, the ratios "
            "with less."
        )
    return (
        f"Measured on {results.began:%Y-%m-%d} by `{results.command}`: median of "
        f"{results.repeats} {'repeat' if results.repeats == 1 else 'repeats'} (lowest–highest), "
        f"all systems in turn in each.\n\n"
        f"{results.machine}. {results.servers}. Load before the run {results.load_before:.1f}, "
        f"at its end {results.load_after:.1f}.{busy}\n"
    )


def _shown(values: Values, names: Iterable[str]) -> list[str]:
    return [name for name in names if any(name in found for found in values.values())]


def _figures(values: Values) -> str:
    names = _shown(values, FIGURES)
    rows = [
        [
            SYSTEMS[system].title,
            *(spread(values[system][name]) if name in values[system] else "–" for name in names),
            SYSTEMS[system].record,
        ]
        for system in SYSTEMS
        if values.get(system)
    ]
    if not rows:
        return ""
    header = ["system", *(FIGURES[name].title for name in names), "durable record"]
    return f"### Side by side\n\n{table(header, rows, ENDS_TEXT)}"


def _ratios(values: Values) -> str:
    names = _shown({"ours": values.get("ours", {})}, FIGURES)
    rows = []
    for system in SYSTEMS:
        found = [ratio(values, name, "ours", system) for name in names]
        if system != "ours" and any(one is not None for one in found):
            cells = ("–" if one is None else number(one) for one in found)
            rows.append([SYSTEMS[system].title, *cells])
    if not rows:
        return ""
    header = ["ours, over that of", *(FIGURES[name].title for name in names)]
    text = "Of `/s`, more is better; of `ms` and `MB`, less is."
    return f"### This project, as a multiple\n\n{text}\n\n{table(header, rows, FIRST_TEXT)}"


def _verdicts(results: Results) -> str:
    found = verdicts(results.values, results.repeats) if results.values else []
    labels = list(results.grown)
    found += [growth_verdict(results.grown, labels[0], label) for label in labels[1:]]
    if not found:
        return ""
    rows = [[one.promise, one.found or "–", _said(one)] for one in found]
    header = ["promise", "measured (lowest–highest of single repeats)", ""]
    return f"### What was promised\n\n{table(header, rows)}"


def _said(verdict: Verdict) -> str:
    if verdict.reached is None:
        return "not measured"
    return "reached" if verdict.reached else "**not reached**"


def _grown(grown: Values) -> str:
    names, labels = _shown(grown, FIGURES), list(grown)
    if not names:
        return ""
    rows = []
    for name in names:
        cells = [spread(grown[label][name]) if name in grown[label] else "–" for label in labels]
        left = [keeps(grown, name, labels[0], label) for label in labels[1:]]
        rows.append(
            [FIGURES[name].title, *cells, *("–" if one is None else number(one) for one in left)]
        )
    header = ["this project", *labels, *(f"{label}: what is left" for label in labels[1:])]
    return f"{_GROWTH}\n\n{table(header, rows, FIRST_TEXT)}"


def _systems(results: Results) -> str:
    if not results.configurations:
        return ""
    rows = [
        [SYSTEMS[system].title, results.configurations[system], results.versions.get(system, "")]
        for system in SYSTEMS
        if system in results.configurations
    ]
    return f"### How they were set up\n\n{table(['system', 'workers', 'versions'], rows)}"


def _troubles(results: Results) -> str:
    lines = [f"- {SYSTEMS[system].title}: {why}" for system, why in results.skipped.items()]
    lines += [f"- {failure}" for failure in results.failures]
    return "### Left out\n\n" + "\n".join(lines) + "\n" if lines else ""


def brief(values: Values, system: str) -> str:
    """Return a system's medians in one line, for the screen."""
    return ", ".join(
        f"{name} {number(middle)}"
        for name in FIGURES
        if (middle := median(values, system, name)) is not None
    )
