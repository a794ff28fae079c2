"""The tables: figures with their spread, promises with what came of them, configurations."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from benchmarks.criteria import Verdict, growth_verdict, keeps, verdicts
from benchmarks.figures import FIGURES, Values, median, number, ratio, spread
from benchmarks.results import Results
from benchmarks.systems import SYSTEMS

_MEASURED = re.compile(r"(<!-- measured -->\n).*?(<!-- /measured -->)", re.DOTALL)
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
    found = verdicts(results.values) if results.values else []
    labels = list(results.grown)
    found += [growth_verdict(results.grown, labels[0], label) for label in labels[1:]]
    if not found:
        return ""
    rows = [[one.promise, one.found or "–", _said(one)] for one in found]
    return f"### What was promised\n\n{table(['promise', 'measured', ''], rows)}"


def _said(verdict: Verdict) -> str:
    if verdict.reached is None:
        return "not measured"
    return "reached" if verdict.reached else "**not reached**"


def _grown(grown: Values) -> str:
    names, labels = _shown(grown, FIGURES), list(grown)
    if not labels:
        return ""
    rows = []
    for name in names:
        cells = [spread(grown[label][name]) if name in grown[label] else "–" for label in labels]
        left = [keeps(grown, name, labels[0], label) for label in labels[1:]]
        rows.append(
            [FIGURES[name].title, *cells, *("–" if one is None else number(one) for one in left)]
        )
    header = ["this project", *labels, *(f"{label}: what is left" for label in labels[1:])]
    return f"### With finished jobs behind it\n\n{table(header, rows, FIRST_TEXT)}"


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
