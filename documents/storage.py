"""Keeps bytes in Django's default storage under a name made from their hash."""

import hashlib
from collections.abc import Callable

from django.core.files.base import ContentFile
from django.core.files.storage import default_storage

from jobs import dry_run


def keep(content: bytes, name_of: Callable[[str], str]) -> str:
    """Keep ``content`` and return its name in the storage.

    Args:
        name_of: Makes the name from the SHA-256 of the content, in hexadecimal.

    The same content has the same name, so a second run finds the first one's file. A file that a
    crash left half-written does not have the bytes its name promises, and is written again. A dry
    run keeps nothing.
    """
    digest = hashlib.sha256(content).hexdigest()
    name = name_of(digest)
    if dry_run.is_dry_run() or holds(name, digest):
        return name
    if default_storage.exists(name):
        default_storage.delete(name)
    saved = default_storage.save(name, ContentFile(content))
    if saved != name and holds(name, digest):
        # Another process kept the same content in between, and the storage chose a new name.
        default_storage.delete(saved)
        return name
    return saved


def holds(name: str, digest: str) -> bool:
    """Whether the storage has a file of this name with this SHA-256."""
    try:
        with default_storage.open(name) as file:
            return hashlib.sha256(file.read()).hexdigest() == digest
    except FileNotFoundError:
        return False
