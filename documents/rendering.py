"""Renders a template as a PDF. The same input gives the same bytes."""

import hashlib
import unicodedata
from dataclasses import dataclass
from datetime import date
from typing import Any

import structlog
from django.template import Context, Engine

from documents.errors import AssetRefused
from tenants.models import Tenant

log = structlog.get_logger(__name__)

#: They turn the direction of what stands beside them: a name must not rearrange a line.
BIDI_CONTROLS = {*range(0x202A, 0x202F), *range(0x2066, 0x206A)}


@dataclass(frozen=True, kw_only=True)
class RenderedPdf:
    """A PDF, ready to be kept."""

    content: bytes
    pages: int
    sha256: str


def render_pdf(
    template: str, context: object, *, tenant: Tenant, identifier: str, dated: date
) -> RenderedPdf:
    """Render ``templates/documents/pdf/<template>.html``, A4.

    The template sees ``document`` (the context), ``tenant``, ``locale``, ``lang`` (of names)
    and ``dated``.

    Args:
        identifier: Says which document this is, for ever; part of the bytes.
        dated: The document's own date, its creation date in the PDF: the clock has no part in it.

    Raises:
        AssetRefused: the template asks for a file that it may not have (permanent).
    """
    html = _harmless(_render_html(template, context, tenant=tenant, dated=dated))
    content, pages, missing = _write(template, html, identifier)
    if missing:
        # Boxes would be drawn for them, in an encoding that not every reader of PDFs understands.
        log.warning("characters_without_glyph", template=template, count=len(missing))
        content, pages, _ = _write(template, html.translate(_stand_ins(missing)), identifier)
    return RenderedPdf(content=content, pages=pages, sha256=hashlib.sha256(content).hexdigest())


def _write(template: str, html: str, identifier: str) -> tuple[bytes, int, set[int]]:
    """Return the PDF, its number of pages, and the code points that no font can show."""
    # WeasyPrint takes half a second and 50 MB to load; who renders nothing does not pay for it.
    from weasyprint import HTML
    from weasyprint.text.fonts import FontConfiguration
    from weasyprint.urls import FatalURLFetchingError

    from documents.assets import ASSETS_URL, AssetFetcher

    fonts = FontConfiguration()  # one per document: sharing it mixes fonts up
    fetcher = AssetFetcher()
    try:
        source = HTML(string=html, base_url=ASSETS_URL, url_fetcher=fetcher)
        rendered = source.render(font_config=fonts)
        content: bytes = rendered.write_pdf(
            pdf_identifier=hashlib.sha256(identifier.encode()).hexdigest()[:32].encode(),
            pdf_variant="pdf/ua-1",
            pdf_tags=True,
        )
    except FatalURLFetchingError:  # a BaseException, which would pass every handler
        raise AssetRefused(f"{template}: {'; '.join(fetcher.refused)}") from None
    if fetcher.refused:
        raise AssetRefused(f"{template}: {'; '.join(fetcher.refused)}")
    missing = {point for font in rendered.fonts.values() for point in font.missing}
    return content, len(rendered.pages), missing


def _stand_ins(code_points: set[int]) -> dict[int, str]:
    """Return what stands for these: nothing for marks and joiners, a box for all others."""
    unseen = ("M", "C", "Sk")
    return {
        point: "" if unicodedata.category(chr(point)).startswith(unseen) else "\N{WHITE SQUARE}"
        for point in code_points
    }


def _render_html(template: str, context: object, *, tenant: Tenant, dated: date) -> str:
    values: dict[str, Any] = {
        "document": context,
        "tenant": tenant,
        "locale": tenant.locale,
        "lang": tenant.locale.replace("_", "-"),
        "dated": dated,
    }
    found = Engine.get_default().get_template(f"documents/pdf/{template}.html")
    return found.render(Context(values))


def _harmless(html: str) -> str:
    """Drop the characters that no document needs and some renderers choke on."""
    return "".join(
        c
        for c in html
        if c in "\n\t" or (unicodedata.category(c) != "Cc" and ord(c) not in BIDI_CONTROLS)
    )
