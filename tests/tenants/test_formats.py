"""Amounts and dates as companies write them."""

from datetime import UTC, date, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from django.template import Context, Engine

from tenants import formats


@pytest.mark.parametrize(
    ("amount", "currency", "locale", "expected"),
    [
        ("1234.5", "EUR", "en_GB", "€1,234.50"),
        ("1234.5", "EUR", "de_DE", "1.234,50\xa0€"),
        ("1234.5", "JPY", "ja_JP", "￥1,235"),
        ("0.125", "EUR", "en_GB", "€0.13"),  # half-up; half-even would be 0.12
        ("-3", "USD", "en_US", "-$3.00"),
    ],
)
def test_money_is_rounded_half_up_and_written_in_the_locale(
    amount: str, currency: str, locale: str, expected: str
) -> None:
    assert formats.format_money(Decimal(amount), currency, locale) == expected


def test_an_amount_in_a_column_has_no_sign_but_the_digits_of_its_currency() -> None:
    assert formats.format_amount(Decimal(1440), "EUR", "en_GB") == "1,440.00"
    assert formats.format_amount(Decimal(1440), "JPY", "en_GB") == "1,440"


@pytest.mark.parametrize(
    ("share", "locale", "expected"),
    [("0.15", "en_GB", "15%"), ("0.125", "de_DE", "12,5\xa0%"), ("0.2500", "en_GB", "25%")],
)
def test_a_share_is_written_as_a_percentage(share: str, locale: str, expected: str) -> None:
    assert formats.format_percent(Decimal(share), locale) == expected


def test_a_quantity_has_no_trailing_zeros() -> None:
    assert formats.format_number(Decimal("12.500"), "de_DE") == "12,5"
    assert formats.format_number(Decimal("12.000")) == "12"
    assert formats.format_number(1000) == "1,000"


def test_dates_are_written_in_the_locale_and_instants_by_the_clock_of_the_zone() -> None:
    assert formats.format_day(date(2026, 7, 4), "en_GB") == "4 July 2026"
    assert formats.format_day(date(2026, 7, 4), "de_DE", "medium") == "04.07.2026"
    instant = datetime(2026, 7, 4, 12, 5, tzinfo=UTC)
    assert formats.format_moment(instant, ZoneInfo("Europe/Berlin")) == "4 July 2026, 14:05 CEST"


def test_template_tags_follow_the_locale_of_the_context_and_are_escaped() -> None:
    source = "{% load tenant_formats %}{% money amount 'EUR' %} {% day day %} {% number 1200 %}"
    template = Engine.get_default().from_string(source)

    text = template.render(
        Context({"locale": "de_DE", "amount": Decimal("9.9"), "day": date(2026, 7, 4)})
    )

    assert text == "9,90\xa0€ 4. Juli 2026 1.200"
