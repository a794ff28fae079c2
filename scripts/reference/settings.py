"""The tables of the settings: the environment, described in ``.env.example``, and the engine's."""

import re
from dataclasses import MISSING, fields
from datetime import timedelta
from pathlib import Path
from typing import Any

from erp.environment import BASE_DIR, Environment
from jobs.conf import JobsSettings
from scripts.reference.markdown import ROOT, duration, table


def described_variables() -> dict[str, tuple[str, str]]:
    """Return what ``.env.example`` says: variable -> (default as written there, meaning)."""
    found = re.findall(
        r"((?:^# .*\n)+)^#?([A-Z_]+)=(.*)$", (ROOT / ".env.example").read_text(), re.MULTILINE
    )
    return {
        name: (value.strip('"'), " ".join(line[2:] for line in text.splitlines()))
        for text, name, value in found
    }


def default_of(variable: str) -> str:
    """Return the default of a variable of :class:`erp.environment.Environment`, as it is set."""
    value = Environment.model_fields[variable.lower()].default
    if isinstance(value, list):
        return ",".join(value)
    if isinstance(value, Path):
        return str(value.relative_to(BASE_DIR))
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def variables() -> str:
    """Return the table of the environment variables, described as in ``.env.example``."""
    described = described_variables()
    names = [name.upper() for name in Environment.model_fields]
    return table(
        ["variable", "default", "meaning"],
        (
            [
                f"`{name}`",
                f"`{default}`" if (default := default_of(name)) else "",
                described[name][1],
            ]
            for name in names
        ),
    )


def compose_variables() -> str:
    """Return the table of the variables that only docker compose reads."""
    own = {name.upper() for name in Environment.model_fields}
    return table(
        ["variable", "default", "meaning"],
        (
            [f"`{name}`", f"`{default}`" if default else "", meaning]
            for name, (default, meaning) in described_variables().items()
            if name not in own
        ),
    )


def engine_settings() -> str:
    """Return the table of ``settings.JOBS``."""
    source = (ROOT / "jobs" / "conf.py").read_text()
    meanings = dict(re.findall(r"#: (.+)\n    ([A-Z_]+):", source))
    meanings = {name: text for text, name in meanings.items()}
    set_by = dict(
        re.findall(
            r'"([A-Z_]+)":[^,]*?ENVIRONMENT\.(jobs_\w+)', (ROOT / "erp" / "settings.py").read_text()
        )
    )

    def shown(value: Any) -> str:
        return duration(value) if isinstance(value, timedelta) else str(value)

    return table(
        ["name", "default", "set by", "meaning"],
        (
            [
                f"`{item.name}`",
                "" if item.default is MISSING else shown(item.default),
                f"`{set_by[item.name].upper()}`" if item.name in set_by else "–",
                meanings[item.name],
            ]
            for item in fields(JobsSettings)
        ),
    )
