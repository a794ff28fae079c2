"""What business code calls to have a file imported."""

from django.core.files.base import File

from imports import services
from imports.models import ImportRun
from tenants.models import Tenant


def queue_import(
    *, tenant: Tenant, kind: str, file: "File[bytes]", filename: str, all_or_nothing: bool = False
) -> ImportRun:
    """Keep a file and enqueue its import; return the run, whose ``job_id`` names the job.

    Args:
        tenant: Whose records the file has.
        kind: What it has, such as ``products``.
        file: CSV in UTF-8, or XLSX; seekable.
        filename: What it is called where it came from; for people.
        all_or_nothing: Load nothing when any row is refused; else keep the good rows.

    Raises:
        UnknownKind: nothing of this name can be imported.
        UnusableFile: the file is empty, of another format, or lacks columns.
    """
    return services.request_import(
        tenant=tenant, kind=kind, file=file, filename=filename, all_or_nothing=all_or_nothing
    )
