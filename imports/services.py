"""Writes of the imports: a file is taken in, and later loaded by a job."""

import hashlib
from pathlib import PurePath
from uuid import uuid4

import structlog
from django.core.files.base import File
from django.db import connection, transaction
from django.db.models.functions import Now

from imports.checking import Checked, checked_rows
from imports.errors import UnusableFile
from imports.models import ImportRun, RejectedRow
from imports.reading import open_table
from imports.registry import Importer, get_importer
from imports.staging import Staging
from jobs import current_job
from jobs.context import current_context
from tenants.models import Tenant

log = structlog.get_logger(__name__)


def request_import(
    *, tenant: Tenant, kind: str, file: "File[bytes]", filename: str, all_or_nothing: bool = False
) -> ImportRun:
    """Keep a file and enqueue its import; return the run, whose ``job_id`` names the job.

    The file's header is looked at now, so that whoever asks hears at once of a wrong file.

    Raises:
        UnknownKind: nothing of this name can be imported.
        UnusableFile: the file is empty, of another format, or lacks columns.
    """
    from imports.tasks import run_import

    importer = get_importer(kind)
    check_file(importer, file)
    digest = hashlib.file_digest(file, "sha256").hexdigest()
    size = file.tell()
    file.seek(0)
    suffix = PurePath(filename).suffix.lower()
    with transaction.atomic():
        run = ImportRun(
            tenant=tenant,
            kind=kind,
            filename=PurePath(filename).name[-255:],
            size=size,
            sha256=digest,
            all_or_nothing=all_or_nothing,
            requested_by=current_context().actor,
        )
        stored = f"{uuid4()}{suffix if suffix in ('.csv', '.xlsx') else ''}"
        run.file.save(stored, file, save=False)
        run.save()
        job = run_import.using(tenant=tenant.slug).enqueue(run_id=run.pk)
        ImportRun.objects.filter(pk=run.pk).update(job_id=job.id)
        run.job_id = job.id
    run.refresh_from_db()
    return run


def check_file(importer: Importer, file: "File[bytes]") -> None:
    """Look at a file's format and header, and rewind it; raises ``UnusableFile``."""
    try:
        with open_table(file, required=importer.required_columns):
            pass
    finally:
        file.seek(0)


def execute_import(run_id: int) -> ImportRun:
    """Check and load the file of a run; does nothing when that is done.

    Rows are checked first, with progress. Everything that is written (records, refused rows,
    counts, state) is written in one transaction after that, so a crash at any point leaves a run
    that waits, and nothing half done.
    """
    run = ImportRun.objects.select_related("tenant").get(pk=run_id)
    if run.is_finished:
        return run
    importer = get_importer(run.kind)
    try:
        with run.file.open("rb") as file, checked_rows(importer, file, _report) as checked:
            run = _load(run_id, importer, checked)
    except UnusableFile as error:
        run = _fail(run_id, str(error))
    log.info(
        "import_finished",
        run_id=run.pk,
        kind=run.kind,
        state=run.state,
        rows=run.rows,
        created=run.created,
        updated=run.updated,
        unchanged=run.unchanged,
        rejected=run.rejected,
    )
    return run


def _report(done: int, total: int) -> None:
    if (job := current_job()) is not None:
        job.progress(done, total, "rows checked")


def _load(run_id: int, importer: Importer, checked: Checked) -> ImportRun:
    with transaction.atomic():
        run = _locked(run_id)
        if run.is_finished:
            return run
        staging = Staging(run, importer, checked)
        staging.fill()
        staging.reject_unknown_references()
        staging.reject_duplicates()
        if importer.refuse is not None:
            importer.refuse(staging)
        run.rows = checked.rows
        run.ignored_columns = checked.ignored_columns
        run.rejected = RejectedRow.objects.filter(run=run).count()
        if run.rejected and (run.all_or_nothing or run.rejected == run.rows):
            return _finish(run, ImportRun.State.REFUSED)
        importer.load(staging)
        counts = staging.outcomes()
        run.created = counts.pop("created", 0)
        run.updated = counts.pop("updated", 0)
        run.unchanged = counts.pop("unchanged", 0)
        if counts:
            raise RuntimeError(f"the importer of {run.kind} left outcomes {counts}")
        return _finish(run, ImportRun.State.LOADED)


def _fail(run_id: int, problem: str) -> ImportRun:
    with transaction.atomic():
        run = _locked(run_id)
        if run.is_finished:
            return run
        run.problem = problem
        return _finish(run, ImportRun.State.FAILED)


def _locked(run_id: int) -> ImportRun:
    run = ImportRun.objects.select_for_update().get(pk=run_id)
    with connection.cursor() as cursor:
        # Two files of one tenant would lock the same records in different orders.
        cursor.execute(
            "SELECT pg_advisory_xact_lock(hashtext('imports.load'), %s::int)", [run.tenant_id]
        )
    return run


def _finish(run: ImportRun, state: ImportRun.State) -> ImportRun:
    run.state = state
    job = current_job()
    run.job_id = job.id if job else run.job_id
    run.finished_at = Now()
    run.save()
    run.refresh_from_db()
    return run
