"""Files that travel with an e-mail: named in the payload, read from the storage when it is sent."""

import hashlib
from typing import Annotated

from django.core.files.storage import default_storage
from pydantic import BaseModel, ConfigDict, Field

from notifications.addresses import one_line
from notifications.errors import AttachmentChanged, AttachmentMissing


class Attachment(BaseModel):
    """A stored file to attach. The hash says which bytes are meant."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    #: Its name in Django's default storage.
    storage_name: Annotated[str, Field(min_length=1, max_length=500)]
    #: What the recipient sees.
    filename: Annotated[str, Field(min_length=1, max_length=200)]
    content_type: Annotated[str, Field(pattern=r"^[\w.+-]+/[\w.+-]+$")] = "application/pdf"
    #: Of the content, in hexadecimal.
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]

    @property
    def safe_filename(self) -> str:
        """The file name as a header may hold it, without a path."""
        flat = self.filename.replace("/", "-").replace("\\", "-").replace('"', "'")
        return one_line(flat, 150) or "attachment"


def read_attachment(attachment: Attachment) -> bytes:
    """Return the bytes of the file.

    Raises:
        AttachmentMissing: it is not there (retried).
        AttachmentChanged: it is another file than the one that was meant (permanent).
    """
    try:
        with default_storage.open(attachment.storage_name) as file:
            content: bytes = file.read()
    except FileNotFoundError:
        raise AttachmentMissing(f"{attachment.storage_name} is not in the storage.") from None
    found = hashlib.sha256(content).hexdigest()
    if found != attachment.sha256:
        raise AttachmentChanged(
            f"{attachment.storage_name} has SHA-256 {found}, expected {attachment.sha256}."
        )
    return content
