"""The triggers that keep what rows were: those of pghistory, without a way to be ignored.

pgtrigger lets a session ignore triggers, and asks for that in each call, by an exception that is
caught. PostgreSQL then looks through all that the transaction has pending, so an update of 10 000
rows took 10 s, and one of 50 000 minutes. Nobody ignores these.

Migrations refer to :class:`KeepSql`: its template may only change together with its name.
"""

from typing import Any

import pghistory
from pghistory.trigger import Event
from pgtrigger import compiler, register


class KeepSql(compiler.UpsertTriggerSql):
    """The SQL that makes a trigger and its function."""

    def get_template(self) -> str:
        """Return pgtrigger's template without the question whether to ignore it."""
        return """
            CREATE OR REPLACE FUNCTION {pgid}() RETURNS TRIGGER AS $$
                BEGIN
                    {func}
                END;
            $$ LANGUAGE plpgsql;

            DROP TRIGGER IF EXISTS {pgid} ON {table};
            CREATE TRIGGER {pgid}
                {when} {operation} ON {table}
                FOR EACH ROW {condition}
                EXECUTE PROCEDURE {pgid}();

            COMMENT ON TRIGGER {pgid} ON {table} IS '{hash}';
        """


class _Keeping(Event):
    def compile(self, model: Any) -> compiler.Trigger:
        compiled = super().compile(model)
        given: dict[str, Any] = compiled.sql.kwargs
        return compiler.Trigger(name=compiled.name, sql=KeepSql(**given))


class _Kept(pghistory.RowEvent):
    row: str | None = pghistory.Old

    def add_event_trigger(self, event_model: Any) -> None:
        trigger = _Keeping(  # type: ignore[no-untyped-call]
            event_model=event_model,
            label=self.label,
            name=self.trigger_name,
            row=self.row,
            operation=self.operation,
            condition=self.condition,
        )
        register(trigger)(event_model.pgh_tracked_model)


class Changed(_Kept, pghistory.UpdateEvent):
    """Keeps what a row was before it was changed."""

    label = "changed"
    row = pghistory.Old
    trigger_name = "keep_changed"


class Deleted(_Kept, pghistory.DeleteEvent):
    """Keeps what a row was before it was deleted."""

    label = "deleted"
    trigger_name = "keep_deleted"
