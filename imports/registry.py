"""What can be imported: each app registers its importers when it is ready."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from django.db.models import Model

from imports.errors import UnknownKind
from imports.rows import ImportRow

if TYPE_CHECKING:
    from imports.staging import Staging


@dataclass(frozen=True, kw_only=True)
class Reference:
    """A column that names a record which must exist in the run's tenant."""

    column: str
    model: type[Model]
    #: The model's field that the column matches.
    key: str


@dataclass(frozen=True, kw_only=True)
class Importer:
    """How one kind of file is checked and loaded."""

    #: What it is called on the command line, such as ``products``.
    kind: str
    #: The fields are the columns of the file.
    row: type[ImportRow]
    #: The columns that together name a record; they may not repeat in a file.
    key: tuple[str, ...]
    #: Writes the staged rows in bulk, and says of each in ``outcome`` what became of it.
    load: "Callable[[Staging], None]"
    references: tuple[Reference, ...] = ()
    #: Refuses staged rows for reasons of the domain, before any is loaded.
    refuse: "Callable[[Staging], None] | None" = None

    @cached_property
    def columns(self) -> list[str]:
        """Every column it knows, in order."""
        return list(self.row.model_fields)

    @property
    def required_columns(self) -> list[str]:
        """The columns a header must have.

        Those whose cells may be empty are among them: a file without such a column would
        otherwise empty it in every record.
        """
        return [name for name in self.columns if name not in self.row.optional_columns]


_IMPORTERS: dict[str, Importer] = {}


def register(importer: Importer) -> None:
    """Offer an importer; raises ``ValueError`` when another one has its name."""
    if _IMPORTERS.setdefault(importer.kind, importer) is not importer:
        raise ValueError(f"two importers are called {importer.kind!r}")


def get_importer(kind: str) -> Importer:
    """Return the importer called ``kind``; raises :class:`~imports.errors.UnknownKind`."""
    try:
        return _IMPORTERS[kind]
    except KeyError:
        raise UnknownKind(kind, _IMPORTERS) from None


def kinds() -> list[str]:
    """Return the names of all importers, sorted."""
    return sorted(_IMPORTERS)
