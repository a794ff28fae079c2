"""Imports of files, and the rows they refused. Written by :mod:`imports.services` alone."""

from typing import ClassVar

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from tenants.models import Tenant


def stored_under(run: "ImportRun", filename: str) -> str:
    """Return where a run's file is kept; ``filename`` is a name of ours, not the caller's."""
    return f"imports/{run.tenant.slug}/{filename}"


class ImportRun(models.Model):
    """One file that somebody wants imported, and what came of it."""

    class State(models.TextChoices):
        """How far it got. All but ``waiting`` are final."""

        WAITING = "waiting"
        LOADED = "loaded"
        #: All or nothing was asked for and some rows are not good; or not one is.
        REFUSED = "refused"
        #: The file as a whole cannot be used; ``problem`` says why.
        FAILED = "failed"

    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="import_runs")
    #: The name of the importer, such as ``products``.
    kind = models.CharField(max_length=64)
    file = models.FileField(upload_to=stored_under, max_length=200)
    #: What the file was called where it came from.
    filename = models.CharField(max_length=255)
    size = models.BigIntegerField(help_text="Bytes.")
    sha256 = models.CharField("SHA-256", max_length=64)
    all_or_nothing = models.BooleanField(
        default=False, help_text="Load nothing when any row is refused; else keep the good rows."
    )
    state = models.CharField(max_length=16, choices=State.choices, default=State.WAITING)
    problem = models.TextField(blank=True, default="")

    #: Rows below the header that are not blank; the other counts add up to it once loaded.
    rows = models.PositiveIntegerField(default=0)
    created = models.PositiveIntegerField(default=0)
    updated = models.PositiveIntegerField(default=0)
    unchanged = models.PositiveIntegerField(default=0)
    rejected = models.PositiveIntegerField(default=0)
    #: Columns of the file that nobody asked for.
    ignored_columns = models.JSONField(default=list)

    #: The job that imports it, or did.
    job_id = models.UUIDField(null=True)
    #: ``user:<name>``, ``system``.
    requested_by = models.CharField(max_length=150)
    requested_at = models.DateTimeField(db_default=Now())
    finished_at = models.DateTimeField(null=True)

    class Meta:
        ordering: ClassVar = ["-id"]
        verbose_name = "import"
        constraints: ClassVar = [
            models.CheckConstraint(
                name="imports_run_state_known",
                condition=Q(state__in=["waiting", "loaded", "refused", "failed"]),
            ),
            models.CheckConstraint(
                name="imports_run_counts_add_up",
                condition=~Q(state="loaded")
                | Q(rows=F("created") + F("updated") + F("unchanged") + F("rejected")),
            ),
            models.CheckConstraint(
                name="imports_run_all_or_nothing",
                condition=~Q(state="loaded", all_or_nothing=True) | Q(rejected=0),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} from {self.filename}"

    @property
    def is_finished(self) -> bool:
        """Whether it is known what came of it."""
        return self.state != self.State.WAITING


class RejectedRow(models.Model):
    """A row that was not loaded, and why."""

    run = models.ForeignKey(
        ImportRun, on_delete=models.CASCADE, related_name="rejected_rows", db_index=False
    )
    #: Where the row begins in the file; the header is line 1.
    line = models.PositiveIntegerField()
    #: The columns that are wrong, separated by commas; empty when it is the row as a whole.
    field = models.CharField(max_length=500, blank=True, default="")
    reason = models.TextField()
    #: Column to text, as in the file.
    cells = models.JSONField(default=dict)

    class Meta:
        ordering: ClassVar = ["line"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["run", "line"], name="imports_rejectedrow_once"),
        ]

    def __str__(self) -> str:
        return f"line {self.line}: {self.reason}"
