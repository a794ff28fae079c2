"""Every setting an operator may give, typed, with its default beside its name.

Values come from the environment (see ``.env.example``). A bad value never stops the import of the
settings: it is remembered, its default is used, and ``manage.py check`` names it (``erp.E001``),
so that every mistake is seen at once instead of one traceback after the other.
"""

import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from cryptography.fernet import Fernet
from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, ValidationError

BASE_DIR = Path(__file__).resolve().parent.parent


def _split(value: Any) -> Any:
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return value


#: Several values in one variable, separated by commas.
Words = Annotated[list[str], BeforeValidator(_split)]
#: A fraction will do; a century is the most.
Days = Annotated[float, Field(gt=0, le=36_525)]


def _fernet_keys(keys: list[str]) -> list[str]:
    for key in keys:
        try:
            Fernet(key)
        except ValueError:
            message = "expected 32 url-safe base64-encoded bytes (Fernet.generate_key())"
            raise ValueError(message) from None
    return keys


def _limits(pairs: list[str]) -> list[str]:
    for pair in pairs:
        name, _, value = pair.partition("=")
        if not name or not (value == "off" or (value.isascii() and value.isdigit())):
            raise ValueError(f"expected NAME=NUMBER or NAME=off, such as email/rate=50, not {pair}")
    return pairs


def limit_values(pairs: list[str]) -> dict[str, int | None]:
    """Return what ``JOBS_LIMITS`` says, by the limit's name; None: it is off."""
    split = (pair.partition("=") for pair in pairs)
    return {name: None if value == "off" else int(value) for name, _, value in split}


def _url_with_scheme(*schemes: str) -> AfterValidator:
    def check(value: str) -> str:
        if value and value.split(":", 1)[0] not in schemes:
            raise ValueError(f"expected a URL that starts with one of {', '.join(schemes)}")
        return value

    return AfterValidator(check)


class Environment(BaseModel):
    """What the environment says, checked. A field's variable is its name in capitals."""

    #: PostgreSQL, the truth. Empty: an embedded server under ``data_dir``.
    database_url: Annotated[str, _url_with_scheme("postgres", "postgresql")] = ""
    #: The URL leads to a pooler in transaction mode, such as PgBouncer.
    database_transaction_pooling: bool = False
    #: Redis or Valkey, the doorbell. Empty: an embedded server under ``data_dir``.
    redis_url: Annotated[str, _url_with_scheme("redis", "rediss", "unix")] = ""
    #: Where e-mail is handed over. Empty: an embedded sink that keeps it in ``data_dir/mail``.
    smtp_url: Annotated[str, _url_with_scheme("smtp", "smtps", "smtp+tls")] = ""
    #: Where servers, files and logs of this checkout live.
    data_dir: Path = BASE_DIR / ".data"

    #: Signs sessions and tokens. Empty: generated once and kept in ``data_dir``.
    secret_key: str = ""
    #: Fernet keys, comma separated; the first encrypts, all decrypt. Empty: generated once.
    jobs_encryption_keys: Annotated[Words, AfterValidator(_fernet_keys)] = []
    debug: bool = False
    allowed_hosts: Words = ["localhost", "127.0.0.1", "[::1]"]
    csrf_trusted_origins: Words = []
    #: A proxy ends TLS and sets ``X-Forwarded-Proto``; nothing else can reach the site.
    behind_tls_proxy: bool = False
    default_from_email: str = "ERP <no-reply@erp.example>"
    #: The site's own address, for links in e-mails.
    site_url: str = "http://localhost:8000"

    #: Address of Flower, linked from the dashboard; empty hides the link.
    flower_url: str = ""

    log_format: Literal["console", "json"] = "console"
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"

    #: Bytes of JSON that the arguments of one job may take.
    jobs_payload_limit: Annotated[int, Field(ge=1, le=16_777_216)] = 65_536
    #: Seconds between two heartbeats of a worker.
    jobs_heartbeat_seconds: Annotated[float, Field(gt=0, le=60)] = 5.0
    #: Seconds without a heartbeat after which a worker's jobs are taken back.
    jobs_lease_seconds: Annotated[float, Field(gt=0, le=3600)] = 30.0
    #: Seconds between two looks of the stager for due jobs.
    jobs_stager_seconds: Annotated[float, Field(gt=0, le=60)] = 0.5
    #: Seconds after which a queue without a message in Redis is rung again: they are lost.
    jobs_republish_seconds: Annotated[float, Field(gt=0, le=3600)] = 10.0
    #: Seconds between two looks of a beat for schedules that were changed.
    jobs_beat_seconds: Annotated[float, Field(gt=0, le=60)] = 1.0
    #: Whether each queue is probed once a minute, from its schedule to its workers.
    jobs_canary: bool = True
    #: Days that it is told what became of each instant of a schedule.
    jobs_keep_firings_days: Days = 90.0
    #: Multiplies every wait before a retry: below 1 for tests and demonstrations.
    jobs_backoff_scale: Annotated[float, Field(gt=0, le=10)] = 1.0
    #: Seconds a stopping worker may take to finish the jobs it runs; then it gives them back.
    jobs_shutdown_seconds: Annotated[float, Field(gt=0, le=3600)] = 30.0
    #: Seconds after which the first waiting job of a class of priority counts as the class above.
    jobs_ageing_seconds: Annotated[float, Field(gt=0, le=86_400)] = 600.0
    #: Seconds that a job cancelled while it runs may take to notice, before it is ended by force.
    jobs_cancel_grace_seconds: Annotated[float, Field(gt=0, le=3600)] = 10.0
    #: Limits that differ from what is declared: ``email/rate=50,email/rate/to=off``.
    jobs_limits: Annotated[Words, AfterValidator(_limits)] = []
    #: Days that finished jobs are kept; a dead one from a person's decision on.
    jobs_keep_succeeded_days: Days = 7.0
    jobs_keep_cancelled_days: Days = 7.0
    jobs_keep_dead_days: Days = 7.0
    #: Days that an effect outside the database is remembered, beyond the life of its job's row.
    jobs_keep_effects_days: Days = 30.0
    #: Days that what ended is told minute by minute.
    jobs_keep_rollup_days: Days = 90.0
    #: Days that an audit entry stays in the table before it goes to a compressed file.
    jobs_audit_keep_days: Days = 90.0


def _problems(error: ValidationError) -> list[str]:
    return [
        f"{str(item['loc'][0]).upper()}: {item['msg']}" if item["loc"] else item["msg"]
        for item in error.errors()
    ]


def load_environment(source: Mapping[str, str] | None = None) -> tuple[Environment, list[str]]:
    """Return what the environment says, and one line per value that cannot be used.

    A value that cannot be used is replaced by its default.
    """
    source = os.environ if source is None else source
    values: dict[str, Any] = {
        name: source[name.upper()]
        for name in Environment.model_fields
        if source.get(name.upper(), "") != ""
    }
    try:
        return Environment.model_validate(values), []
    except ValidationError as error:
        for item in error.errors():
            values.pop(str(item["loc"][0]), None)
        return Environment.model_validate(values), _problems(error)


def kept_secret(data_dir: Path, name: str, *, fernet: bool = False) -> str:
    """Return the secret ``name`` of this checkout, made at the first call and kept in a file.

    It serves development. In production the secrets come from the environment, so that every
    host has the same ones.
    """
    path = data_dir / "secrets" / name
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    value = Fernet.generate_key().decode() if fernet else secrets.token_urlsafe(48)
    draft = path.with_name(f"{name}.{secrets.token_hex(8)}")  # containers may share pids
    draft.touch(mode=0o600)
    draft.write_text(value)
    try:
        os.link(draft, path)  # atomic, and never replaces what another process has just kept
    except FileExistsError:
        pass
    finally:
        draft.unlink()
    return path.read_text()
