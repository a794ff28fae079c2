"""E-mail addresses, names and links that come from outside: checked, and made harmless."""

import re
import unicodedata
from email.utils import parseaddr, quote
from typing import Annotated

from django.conf import settings
from pydantic import AfterValidator, EmailStr, Field, SecretStr, TypeAdapter, ValidationError

from notifications.errors import InvalidAddress

#: Longer names are cut in a header; the body has them whole.
LONGEST_NAME = 64
#: RFC 5322 allows 998 characters in a line; mail clients show far fewer.
LONGEST_SUBJECT = 200
#: They turn the direction of what stands beside them: a name must not rearrange a line.
BIDI_CONTROLS = dict.fromkeys([*range(0x202A, 0x202F), *range(0x2066, 0x206A)])
LINK = re.compile(r"https?://[^\s<>\"\\^`{|}]+", re.IGNORECASE)


def _ascii_mailbox(address: str) -> str:
    """Refuse what only SMTPUTF8 could carry: few servers speak it, and a wrong guess is a loss.

    The domain may be international: it travels as punycode.
    """
    mailbox = address.rpartition("@")[0]
    if not mailbox.isascii():
        raise ValueError("the part before the @ must be written in ASCII")
    return address


def _web_link(link: str) -> str:
    if not LINK.fullmatch(link):
        raise ValueError("expected a link that starts with http:// or https://")
    return link


def _secret_web_link(link: SecretStr) -> SecretStr:
    _web_link(link.get_secret_value())
    return link


#: An address of one person. ``Ann <ann@acme.example>`` is taken as ``ann@acme.example``; names
#: travel in a field of their own. Domains kept for examples are as good as any.
Address = Annotated[EmailStr, AfterValidator(_ascii_mailbox), Field(max_length=320)]
WebLink = Annotated[str, AfterValidator(_web_link), Field(max_length=2000)]
SecretWebLink = Annotated[SecretStr, AfterValidator(_secret_web_link)]

_address: TypeAdapter[str] = TypeAdapter(Address)


def checked_address(value: str, *, task: str, field: str = "to") -> str:
    """Return the address, normalised.

    Raises:
        InvalidAddress: it cannot be written to; ``problems`` names ``field``.
    """
    try:
        return _address.validate_python(value)
    except ValidationError as error:
        raise InvalidAddress(task, {field: error.errors(include_input=False)[0]["msg"]}) from None


def one_line(text: str, longest: int) -> str:
    """Return ``text`` fit for a header: no line breaks or other controls, not longer than that."""
    controls = {"Cc", "Zl", "Zp"}
    spaced = "".join(
        " " if unicodedata.category(c) in controls else c for c in text.translate(BIDI_CONTROLS)
    )
    line = " ".join(spaced.split())
    return line if len(line) <= longest else line[: longest - 1].rstrip() + "…"


def mailbox(name: str, address: str) -> str:
    """Return ``"name" <address>`` for a header, or the bare address when there is no name."""
    clean = one_line(name, LONGEST_NAME)
    return f'"{quote(clean)}" <{address}>' if clean else address


def sender_address() -> str:
    """Return the bare address that the site writes from (``DEFAULT_FROM_EMAIL``)."""
    return parseaddr(settings.DEFAULT_FROM_EMAIL)[1]


def sender_domain() -> str:
    """Return the domain that the site writes from; it ends every Message-ID."""
    return sender_address().rpartition("@")[2] or "localhost"
