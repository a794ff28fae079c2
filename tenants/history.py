"""What rows were before they changed: kept by triggers, and read back as tables of an instant.

A row carries since when it is there. Before one of its facts changes, and before it is deleted,
what it was goes to a table beside its own (``inventory_pastproduct`` of ``inventory_product``),
whoever changes it: a form, ``QuerySet.update`` and SQL are alike. A new row costs nothing more.

Both instants are the beginnings of the transactions that wrote, by the same clock as the stock
ledger. So what one transaction changed is seen as a whole or not at all, unless it waited for a row
that a transaction which began later had changed: of that row, both or neither are seen. A
transaction that was open at an instant counts as over.

History is never deleted: it grows by real edits alone. Who saves an instance of his own making over
a row that is there (as ``loaddata`` does) makes the row as new as that.
"""

from collections.abc import Callable
from functools import cache
from typing import TypeVar

import pghistory
import pgtrigger
from django.apps import apps
from django.contrib.postgres.functions import TransactionNow
from django.db import models
from pghistory.models import Event

from tenants.history_triggers import Changed, Deleted

M = TypeVar("M", bound=type[models.Model])


class Recorded(models.Model):
    """A row that says since when it is there. Rows from before this was kept: since it is."""

    recorded_at = models.DateTimeField(db_default=TransactionNow(), editable=False)

    class Meta:
        abstract = True


class Past(Event):
    """What a row was, until ``pgh_created_at``. Those of one row are numbered in their order."""

    pgh_id = models.BigAutoField(primary_key=True)

    class Meta:
        abstract = True


def keep_history(*facts: str, besides: tuple[str, ...] = ()) -> Callable[[M], M]:
    """Return a decorator for a :class:`Recorded` model: keep what a row was, in ``Past<Model>``.

    Args:
        facts: The fields whose change is history.
        besides: Fields that are kept with them, and change without being history.
    """

    def decorate(model: M) -> M:
        pghistory.track(
            Changed(condition=pgtrigger.AnyChange(*facts)),
            Deleted(),
            fields=[*facts, *besides, "recorded_at"],
            # Nothing refers back, and no constraint: the row may be gone.
            obj_field=pghistory.ObjForeignKey(
                related_name="+", related_query_name="+", db_index=False
            ),
            context_field=None,  # type: ignore[arg-type]  # it may be None
            base_model=Past,
            model_name=f"Past{model.__name__}",
            meta={
                "indexes": [models.Index(fields=["pgh_obj", "pgh_created_at"])],
                "default_permissions": (),
            },
        )(model)
        return model

    return decorate


def past_of(model: type[models.Model]) -> type[Past]:
    """Return the model of what rows of a model were."""
    found = apps.get_model(model._meta.app_label, f"Past{model.__name__}")
    assert issubclass(found, Past)
    return found


# What a row was at an instant is what it was before its first change since then, or what it is. The
# first is the one with the lowest number: changes of one row wait for each other, while the
# beginnings of their transactions may be out of order. A row that came after the instant says so
# itself, also in what is kept of it.
_ROWS_AT = """LATERAL (
    SELECT kept.id, {current}
    FROM {table} AS kept
    WHERE kept.{own_key} = {value} AND kept.recorded_at < {instant}
      AND NOT EXISTS (
          SELECT FROM {past_table} AS since
          WHERE since.pgh_obj_id = kept.id AND since.pgh_created_at >= {instant}
      )
  UNION ALL
    SELECT past.pgh_obj_id, {past}
    FROM {past_table} AS past
    WHERE past.{past_key} = {value} AND past.recorded_at < {instant}
      AND past.pgh_created_at >= {instant}
      AND NOT EXISTS (
          SELECT FROM {past_table} AS earlier
          WHERE earlier.pgh_obj_id = past.pgh_obj_id AND earlier.pgh_created_at >= {instant}
            AND earlier.pgh_id < past.pgh_id
      )
)"""


@cache
def rows_at(model: type[models.Model], instant: str, *, key: str, value: str) -> str:
    """Return SQL that stands for a model's table in FROM: some rows, as they were at an instant.

    It has the columns that are kept, and ``id``. It is looked up by index, row by row.

    Args:
        model: One whose history is kept.
        instant: SQL of the instant.
        key: The column that tells which rows: ``id``, or a foreign key that is kept.
        value: SQL of what that column must be, such as a column of what FROM names before.
    """
    past = past_of(model)
    columns = [field.column for field in past._meta.fields if not field.name.startswith("pgh_")]
    return _ROWS_AT.format(
        table=model._meta.db_table,
        past_table=past._meta.db_table,
        current=", ".join(f"kept.{column}" for column in columns),
        past=", ".join(f"past.{column}" for column in columns),
        own_key=key,
        past_key="pgh_obj_id" if key == "id" else key,
        value=value,
        instant=instant,
    )
