"""Numbered messages of ``manage.py check`` about documents."""

import ctypes
from typing import Any

from django.core import checks
from django.core.checks import CheckMessage, register

#: As WeasyPrint looks for it, on Linux, macOS and Windows.
SUBSET_LIBRARIES = (
    "libharfbuzz-subset.so.0",
    "libharfbuzz-subset.0.dylib",
    "libharfbuzz-subset-0.dll",
)


def has_subset_library() -> bool:
    """Whether HarfBuzz's font subsetter is installed. WeasyPrint itself need not be loaded."""
    for name in SUBSET_LIBRARIES:
        try:
            ctypes.CDLL(name)
        except OSError:
            continue
        return True
    return False


@register()
def check_subset_library(**_: Any) -> list[CheckMessage]:
    """``documents.W001``: PDFs take 3.4 times as long, since fonts are subset in Python."""
    if has_subset_library():
        return []
    return [
        checks.Warning(
            "libharfbuzz-subset was not found: a PDF takes more than three times as long.",
            hint="Install it, on Debian and Ubuntu with `apt-get install libharfbuzz-subset0`.",
            id="documents.W001",
        )
    ]
