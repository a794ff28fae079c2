"""PDFs: what they say, and what they never do."""

import base64
import hashlib
import subprocess
import sys
from decimal import Decimal
from io import BytesIO
from pathlib import Path

import pypdf
import pypdfium2
import pytest
from django.conf import settings as django_settings
from django.template import Engine
from pytest_django import Settings

from documents.contexts import MOST_LINES, Party
from documents.errors import AssetRefused, FiguresDisagree, TooLong
from documents.rendering import RenderedPdf, render_pdf
from jobs.errors import PermanentError

from .builders import DAY, LINES, a_tenant, an_invoice, an_order_sheet, line, text_of

#: An image that asks for a file itself.
SPYING_SVG = base64.b64encode(
    b'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
    b'width="9" height="9"><image xlink:href="file:///etc/passwd" href="file:///etc/passwd" '
    b'width="9" height="9"/></svg>'
).decode()


def render(template: str, context: object, identifier: str = "x", **tenant: str) -> RenderedPdf:
    return render_pdf(
        template, context, tenant=a_tenant(**tenant), identifier=identifier, dated=DAY
    )


def test_an_invoice_is_one_a4_page_with_the_right_amounts() -> None:
    pdf = render("invoice", an_invoice())

    text = text_of(pdf.content)
    for words in (
        "Acme Trading Ltd",
        "Vins et alcools Chevalier",
        "2026-000101",
        "3 Nov 2026",
        "3 Dec 2026",
        "168.00",
        "98.00",
        "174.00",
        "Subtotal 440.00",
        "Freight 32.38",
        "Total due €472.38",
        "Page 1 of 1",
    ):
        assert words in text
    page = pypdf.PdfReader(BytesIO(pdf.content)).pages[0]
    assert pdf.pages == 1
    assert (round(page.mediabox.width), round(page.mediabox.height)) == (595, 842)


def test_amounts_and_dates_are_those_of_the_tenants_locale_and_currency() -> None:
    invoice = an_invoice([line("Reis", "1234")], freight=Decimal(0), currency="JPY")
    german = an_invoice([line("Reis", "1234.50", discount=Decimal("0.125"))])

    assert "￥1,234" in text_of(render("invoice", invoice, locale="ja_JP").content)
    text = text_of(render("invoice", german, locale="de_DE").content).replace("\xa0", " ")
    assert "1.266,88 €" in text
    assert "12,5 %" in text
    assert "03.11.2026" in text


def test_a_long_invoice_repeats_its_head_and_numbers_its_pages() -> None:
    pdf = render("invoice", an_invoice([line(f"Product {n}") for n in range(70)]))

    pages = [page.extract_text() for page in pypdf.PdfReader(BytesIO(pdf.content)).pages]
    assert pdf.pages == len(pages) > 1
    for number, text in enumerate(pages, 1):
        assert f"Page {number} of {len(pages)}" in text
        assert ("continued" in text) == (number > 1)
    assert "Unit price" in pages[1]
    assert sum(text.count("Product ") for text in pages) == 70


def test_an_order_sheet_lists_what_to_pick_and_names_no_price() -> None:
    pdf = render("order_sheet", an_order_sheet(ship_via="Federal Shipping", note="Ring twice"))

    text = text_of(pdf.content)
    for words in ("Order sheet", "10248", "Queso Cabrales", "12", "Federal Shipping", "Ring twice"):
        assert words in text
    assert "€" not in text


def test_the_same_input_gives_the_same_bytes_in_another_process_too() -> None:
    script = (
        "import django; django.setup()\n"
        "from tests.documents.test_rendering import render\n"
        "from tests.documents.builders import an_invoice\n"
        "print(render('invoice', an_invoice()).sha256)"
    )
    other = subprocess.run(
        [sys.executable, "-c", script],
        cwd=django_settings.BASE_DIR,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()[-1]

    first, second = render("invoice", an_invoice()), render("invoice", an_invoice())

    assert first.content == second.content
    assert first.sha256 == hashlib.sha256(first.content).hexdigest() == other
    assert render("invoice", an_invoice(), identifier="y").sha256 != first.sha256


def test_a_pdf_is_tagged_and_says_what_it_is() -> None:
    reader = pypdf.PdfReader(BytesIO(render("invoice", an_invoice()).content))

    assert reader.metadata is not None
    assert reader.metadata.title == "Invoice 2026-000101"
    assert reader.metadata.author == "Acme Trading Ltd"
    assert "/StructTreeRoot" in reader.root_object


@pytest.mark.parametrize(
    "name",
    [
        "<img src=file:///etc/passwd>",
        '"><link rel="stylesheet" href="https://evil.example/x.css">',
        "<script>alert(1)</script>",
        "</style></td></table>{{ document.total }}{% now 'Y' %}",
        "W" * 3000,
        "日本語の長い商品名" * 20,
        "זיתים زيتون ελιές оливки",
        "🍣 👨‍👩‍👧 Z͑ͫ̓a̷l\u0301g\u0300o",
        "line\nbreak \x0b\x00\x1b[31m bell\x07",
        "",
    ],
)
def test_a_hostile_name_is_printed_and_does_nothing(name: str) -> None:
    invoice = an_invoice(
        [line(name, "10.00", sku=name)],
        buyer=Party(name=name, address=name, reference=name),
        number=name[:40],
        payment_note=name,
    )

    pdf = render("invoice", invoice)

    assert "Total due €42.38" in text_of(pdf.content)
    pypdfium2.PdfDocument(pdf.content)[0].render()


def test_characters_that_no_font_has_leave_the_rest_readable() -> None:
    text = text_of(render("invoice", an_invoice([line("Sushi \U000e0fff\U000f0000 set")])).content)

    assert "Sushi □ set" in text or "Sushi  set" in text
    assert "Total due €42.38" in text


def test_markup_in_a_name_is_text() -> None:
    text = text_of(render("invoice", an_invoice([line("<b>Tofu</b> & rice")])).content)

    assert "<b>Tofu</b> & rice" in text


def test_a_name_cannot_turn_the_direction_of_its_line() -> None:
    text = text_of(render("invoice", an_invoice([line("safe\u202egnp.exe")])).content)

    assert "safegnp.exe" in text


@pytest.mark.parametrize(
    "markup",
    [
        '<img src="file:///etc/passwd">',
        '<img src="https://example.com/logo.png">',
        '<img src="https://assets.invalid.example.com/logo.png">',
        '<img src="../../../manage.py">',
        '<img src="%2e%2e/%2e%2e/%2e%2e/manage.py">',
        '<img src="absent.png">',
        '<img src="ftp://127.0.0.1/x">',
        '<link rel="stylesheet" href="http://127.0.0.1:1/x.css">',
        "<style>@font-face { font-family: x; src: url(file:///etc/passwd) } p { font-family: x }</style><p>x",
        '<object data="file:///etc/passwd"></object>',
        f'<img src="data:image/svg+xml;base64,{SPYING_SVG}">',
        '<base href="file:///etc/"><img src="passwd">',
    ],
)
def test_nothing_but_the_projects_own_files_can_be_loaded(
    markup: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    template = Engine.get_default().from_string(markup)
    monkeypatch.setattr(Engine, "get_template", lambda *_: template)

    with pytest.raises(AssetRefused) as caught:
        render("any", object())
    assert isinstance(caught.value, PermanentError)


def test_a_link_out_of_the_folder_leads_nowhere(tmp_path: Path, settings: Settings) -> None:
    folder = tmp_path / "templates" / "documents" / "pdf"
    folder.mkdir(parents=True)
    (tmp_path / "secret.css").write_text("p { color: red }")
    (folder / "out.css").symlink_to(tmp_path / "secret.css")
    (folder / "in.css").write_text("p { color: red }")
    settings.BASE_DIR = tmp_path
    from documents.assets import ASSETS_URL, AssetFetcher

    fetcher = AssetFetcher()

    assert fetcher.fetch(f"{ASSETS_URL}in.css").read() == b"p { color: red }"
    with pytest.raises(ValueError, match="only the files of the project"):
        fetcher.fetch(f"{ASSETS_URL}out.css")


def test_an_invoice_whose_figures_disagree_is_refused() -> None:
    with pytest.raises(FiguresDisagree, match=r"440\.00.*32\.38.*472\.39"):
        an_invoice(LINES, total=Decimal("472.39"))


def test_a_document_of_too_many_lines_is_refused() -> None:
    with pytest.raises(TooLong):
        an_invoice([LINES[0]] * (MOST_LINES + 1))
