"""The command: what it prints and how it ends."""

import json
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from imports.models import ImportRun
from inventory.models import Product
from jobs.testing import enqueued_jobs
from tenants.models import Tenant
from tests.conftest import Live
from tests.imports.builders import csv_bytes, product
from tests.tenants.builders import make_tenant

Command = Callable[..., tuple[int, str]]


@pytest.fixture
def tenant(db: None) -> Tenant:
    """A company."""
    return make_tenant(slug="acme")


@pytest.fixture
def command() -> Command:
    """Runs ``import_csv`` here; answers its exit code and what it printed."""

    def run(*arguments: Any) -> tuple[int, str]:
        out = StringIO()
        try:
            call_command("import_csv", *map(str, arguments), stdout=out, stderr=StringIO())
        except SystemExit as end:
            return int(end.code or 0), out.getvalue()
        except CommandError as error:
            return error.returncode, str(error)
        return 0, out.getvalue()

    return run


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file with two good rows and a bad one."""
    path = tmp_path / "products.csv"
    path.write_bytes(csv_bytes([product(1), product(2), product(3, unit_price="=1+1")]))
    return path


def test_without_a_worker_it_imports_by_itself_and_prints_counts_and_reasons(
    tenant: Tenant, command: Command, file: Path
) -> None:
    code, text = command("products", file, "--tenant", "acme")
    assert code == 0
    assert "3 rows: 2 created, 0 updated, 0 unchanged, 1 refused." in text
    assert "line 4: unit_price “=1+1” is not a number such as 12.50" in text


def test_json_has_the_counts_and_every_refused_row(
    tenant: Tenant, command: Command, file: Path
) -> None:
    code, text = command("products", file, "--tenant", "acme", "--json")
    answer = json.loads(text)
    assert code == 0
    assert (answer["state"], answer["rows"], answer["created"], answer["rejected"]) == (
        "loaded", 3, 2, 1,
    )  # fmt: skip
    assert [row["line"] for row in answer["rejected_rows"]] == [4]
    assert answer["rejected_rows"][0]["field"] == "unit_price"
    assert answer["job"]


def test_all_or_nothing_ends_with_1_when_rows_are_refused(
    tenant: Tenant, command: Command, file: Path
) -> None:
    code, text = command("products", file, "--tenant", "acme", "--all-or-nothing")
    assert code == 1
    assert "Nothing was loaded: 1 of 3 rows are refused." in text
    assert not Product.objects.exists()


def test_the_refused_rows_are_written_to_a_file(
    tenant: Tenant, command: Command, file: Path, tmp_path: Path
) -> None:
    rejects = tmp_path / "rejects.csv"
    command("products", file, "--tenant", "acme", "--rejects", rejects)
    header, row = rejects.read_text("utf-8-sig").splitlines()
    assert header.startswith("line,field,reason,product_id,")
    assert row.startswith("4,unit_price,")
    assert "'=1+1" in row


def test_without_waiting_the_job_is_enqueued_and_no_more(
    tenant: Tenant, command: Command, file: Path
) -> None:
    code, text = command("products", file, "--tenant", "acme", "--no-wait")
    (job,) = enqueued_jobs("imports.run_import")
    assert code == 0
    assert str(job.id) in text
    assert ImportRun.objects.get().state == "waiting"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["product", "FILE", "--tenant", "acme"], "Did you mean 'products'?"),
        (["products", "FILE", "--tenant", "acmee"], "Did you mean 'acme'?"),
        (["products", "/no/such/file", "--tenant", "acme"], "No such file"),
        (["products", "/", "--tenant", "acme"], "Is a directory"),
        (["orders", "FILE", "--tenant", "acme"], "Columns order_id, customer_id"),
    ],
)
def test_what_makes_no_sense_ends_with_2_and_does_nothing(
    tenant: Tenant, command: Command, file: Path, arguments: list[str], message: str
) -> None:
    code, text = command(*(file if word == "FILE" else word for word in arguments))
    assert code == 2
    assert message in text
    assert not ImportRun.objects.exists()


def test_an_unusable_file_ends_with_2_at_once_or_1_when_it_shows_only_later(
    tenant: Tenant, command: Command, tmp_path: Path
) -> None:
    path = tmp_path / "products.csv"
    path.write_bytes(b"")
    assert command("products", path, "--tenant", "acme")[0] == 2
    path.write_bytes(csv_bytes(product(n) for n in range(1_000)) + b"\xff\n")
    code, text = command("products", path, "--tenant", "acme")
    assert code == 1
    assert "Nothing was loaded. Line 1002: not UTF-8" in text


@pytest.mark.processes
def test_a_worker_imports_the_file_while_the_command_waits(live: Live, file: Path) -> None:
    make_tenant(slug="acme")
    live.worker("imports")
    done = live.manage("import_csv", "products", str(file), "--tenant", "acme", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["created"] == 2
    assert Product.objects.count() == 2
