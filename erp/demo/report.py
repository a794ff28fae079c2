"""What came of the demo, in figures, and whether it is what had to come."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from compliance.models import ClientScore
from documents.models import Document
from erp.demo.flow import orders_to_invoice
from erp.demo.sample import COMPANIES, Sample
from inventory.models import Product, Severity, StockAlert
from jobs.models import DeadLetter, Job
from jobs.selectors import job_stats
from notifications.models import Delivery, Notification
from sales.models import Customer, Invoice, Order, OrderLine
from tenants.models import Role

#: Who gets the digest of low stock.
_TOLD_OF_STOCK = {Role.OWNER, Role.MANAGER, Role.WAREHOUSE}
_PLANTED_DEAD_LETTERS = 2


@dataclass(kw_only=True)
class Report:
    """The figures; ``problems`` is empty when all ended as expected."""

    seconds: float
    jobs: list[dict[str, Any]]
    imported: dict[str, int]
    emails: dict[str, int]
    emails_received: int
    pdfs: dict[str, int]
    alerts: dict[str, int]
    notices: int
    scores: dict[str, int]
    dead_letters: list[dict[str, str]]
    mail_folder: str
    files_folder: str
    problems: list[str] = field(default_factory=list)

    def write(self, path: Path) -> None:
        """Keep the figures as JSON."""
        path.write_text(json.dumps(self.__dict__, indent=2, ensure_ascii=False), encoding="utf-8")


def make_report(
    samples: Sequence[Sample], *, seconds: float, mail_folder: Path, files_folder: Path
) -> Report:
    """Read the figures from the database and the mail folder, and compare them with the sample."""
    stats = job_stats()
    report = Report(
        seconds=round(seconds, 1),
        jobs=[
            {
                "task": row.task, "queue": row.queue, "outcome": row.outcome,
                "state": str(row.state), "count": row.count,
                "wait_median": row.wait_median, "wait_p95": row.wait_p95,
                "run_median": row.run_median, "run_p95": row.run_p95,
            }
            for row in stats
        ],
        imported={
            "products": Product.objects.count(), "customers": Customer.objects.count(),
            "orders": Order.objects.count(), "order_lines": OrderLine.objects.count(),
        },
        emails=dict(Counter(
            f"{event} {state}" for event, state in Delivery.objects.values_list("event", "state")
        )),
        emails_received=len(list(mail_folder.glob("*.eml"))),
        pdfs=dict(Counter(Document.objects.values_list("kind", flat=True))),
        alerts={
            severity.label: count
            for severity in sorted(Severity, reverse=True)
            if (count := StockAlert.objects.filter(severity=severity, closed_at=None).count())
        },
        notices=Notification.objects.count(),
        scores=dict(Counter(ClientScore.objects.values_list("risk", flat=True))),
        dead_letters=[
            {
                "job": str(letter.job_id), "task": letter.task, "reason": letter.reason,
                "error": letter.error,
                "replay": f"python manage.py jobs retry {letter.job_id}",
            }
            for letter in DeadLetter.objects.filter(decision="").order_by("died_at")
        ],
        mail_folder=str(mail_folder),
        files_folder=str(files_folder),
    )  # fmt: skip
    report.problems = _problems(report, samples)
    return report


def _problems(report: Report, samples: Sequence[Sample]) -> list[str]:
    """Compare what is with what has to be, one line for each difference."""
    orders = sum(company.orders for company in COMPANIES)
    invoices = sum(len(orders_to_invoice(company.slug)) for company in COMPANIES)
    digests = sum(
        person.role in _TOLD_OF_STOCK for company in COMPANIES for person in company.people
    )
    expected_alerts: Counter[str] = sum((sample.alerts for sample in samples), Counter())
    sent = orders + invoices + digests + len(COMPANIES) - _PLANTED_DEAD_LETTERS
    pairs: list[tuple[str, object, object]] = [
        ("products", report.imported["products"], sum(c.products for c in COMPANIES)),
        ("customers", report.imported["customers"], sum(c.customers for c in COMPANIES)),
        ("orders", report.imported["orders"], orders),
        ("order lines", report.imported["order_lines"], sum(s.lines for s in samples)),
        ("order sheets", report.pdfs.get("order_sheet"), orders),
        ("invoice PDFs", report.pdfs.get("invoice"), invoices),
        ("e-mails received by the mail server", report.emails_received, sent),
        ("invoices sent", Invoice.objects.filter(state="sent").count(), invoices - 1),
        ("stock alerts", report.alerts, {k: v for k, v in expected_alerts.items() if v}),
        ("client scores", sum(report.scores.values()), sum(c.clients for c in COMPANIES)),
        (
            "dead letters",
            sorted(letter["reason"] for letter in report.dead_letters),
            ["exhausted", "permanent"],
        ),
        (
            "jobs neither succeeded nor dead",
            Job.objects.exclude(state__in=["succeeded", "dead"]).count(),
            0,
        ),
    ]
    return [
        f"{what}: {found}, expected {wanted}" for what, found, wanted in pairs if found != wanted
    ]


def print_report(report: Report, console: Console) -> None:
    """Print what happened, for a person."""
    table = Table(title="Attempts by task and outcome", title_justify="left", header_style="bold")
    for name in ("task", "queue", "outcome", "then"):
        table.add_column(name)
    for name in ("attempts", "wait median", "wait p95", "run median", "run p95"):
        table.add_column(name, justify="right")
    for row in report.jobs:
        style = "red" if row["state"] == "dead" else ""
        times = [row[name] for name in ("wait_median", "wait_p95", "run_median", "run_p95")]
        table.add_row(
            row["task"], row["queue"], row["outcome"], row["state"], str(row["count"]),
            *(_duration(seconds) for seconds in times), style=style,
        )  # fmt: skip
    console.print(table)
    facts = {
        "Imported": _listed(report.imported),
        "PDFs": f"{_listed(report.pdfs)}, in {report.files_folder}",
        "E-mails": f"{report.emails_received} received, in {report.mail_folder}",
        "": _listed(report.emails),
        "Stock alerts": _listed(report.alerts),
        "Notices": f"{report.notices} in-app",
        "Client risks": _listed(report.scores),
    }
    for label, value in facts.items():
        console.print(f"[bold]{label:<14}[/bold]{value}", highlight=False)
    console.print(
        f"\n[bold]Dead letters[/bold]  {len(report.dead_letters)}, as planted. The cause is mended "
        "meanwhile, so replaying succeeds once workers run (`make up`):"
    )
    for letter in report.dead_letters:
        console.print(f"  {letter['task']} ({letter['reason']}): ", end="")
        console.print(letter["error"], markup=False, highlight=False, style="red")
        console.print(f"    .venv/bin/{letter['replay']}", highlight=False)
    console.print()
    for problem in report.problems:
        console.print(f"[red]Not as expected[/red]  {problem}", highlight=False)


def _listed(figures: dict[str, int]) -> str:
    return (
        ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in figures.items()) or "none"
    )


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "–"
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"
