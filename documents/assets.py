"""What a document may load while it is rendered: the files beside the templates, and data: URIs.

A template names them relatively (``base.css``). Everything else, the network and the file system
included, is refused, and the refusal ends the rendering: no PDF goes out without its logo, and no
product name makes the renderer fetch anything.

This module loads WeasyPrint (half a second, 50 MB); only rendering imports it.
"""

import mimetypes
from pathlib import Path
from urllib.parse import unquote, urlsplit

from django.conf import settings
from weasyprint.urls import URLFetcher, URLFetcherResponse

#: Stands for the folder of the templates. A host that cannot exist (RFC 2606).
ASSETS_URL = "https://assets.invalid/"


class AssetFetcher(URLFetcher):  # type: ignore[misc]
    """Gives WeasyPrint what lies in ``templates/documents/pdf``, and nothing else."""

    def __init__(self) -> None:
        super().__init__(allowed_protocols={"data"}, allow_redirects=False, fail_on_errors=True)
        #: What was asked for and not given. WeasyPrint forgives some of it, as inside an SVG.
        self.refused: list[str] = []
        self.root = (Path(settings.BASE_DIR) / "templates" / "documents" / "pdf").resolve()

    def fetch(self, url: str, headers: dict[str, str] | None = None) -> URLFetcherResponse:
        """Return the asset; raises ``ValueError`` or ``OSError``, which end the rendering."""
        try:
            return super().fetch(url, headers) if url.startswith("data:") else self._asset(url)
        except Exception as error:
            self.refused.append(f"{url[:200]}: {error}")
            raise

    def _asset(self, url: str) -> URLFetcherResponse:
        if not url.startswith(ASSETS_URL):
            raise ValueError("only the files of the project may be loaded")
        path = (self.root / unquote(urlsplit(url).path).lstrip("/")).resolve(strict=True)
        if not path.is_relative_to(self.root):  # after resolving dots and symbolic links
            raise ValueError("only the files of the project may be loaded")
        content_type = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        return URLFetcherResponse(url, path.read_bytes(), {"Content-Type": content_type})
