"""The documentation says what the code says, and leads nowhere in vain."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from documents.models import Kind as DocumentKind
from erp.environment import Environment
from jobs.metrics import JobsCollector
from jobs.models import Attempt, DeadLetter, Priority, ReplayBatch
from jobs.queues import QUEUES
from jobs.states import State
from jobs.task import registry
from notifications import task_helpers
from notifications.events import EVENTS
from scripts.reference import commands, registries, settings
from scripts.reference.pages import DOCS, ROOT, TABLES, names_in, pages, rewritten

REFERENCE = DOCS / "reference"
PAGES = pages()


def named(path: Path) -> str:
    """Return a page's name in the output of a test."""
    return str(path.relative_to(ROOT))


def rows_of(page: str) -> set[str]:
    """Return what the rows of a reference page begin with, in code marks."""
    return set(re.findall(r"^\| `([^`]+)`", (REFERENCE / page).read_text(), re.MULTILINE))


def headings(path: Path) -> list[str]:
    """Return the text of a page's headings, without what is only code."""
    text = re.sub(r"^```.*?^```", "", path.read_text(), flags=re.MULTILINE | re.DOTALL)
    return re.findall(r"^#+ (.+)$", text, re.MULTILINE)


def anchors(path: Path) -> set[str]:
    """Return the anchors that a page's headings have on a code host."""
    return {
        re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings(path)
    }


# --- generated tables ----------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_the_tables_of_a_page_are_those_of_the_code(page: Path) -> None:
    text = page.read_text()
    assert rewritten(text) == text, "run: .venv/bin/python -m scripts.reference"


def test_every_table_stands_on_one_page() -> None:
    found = [name for page in PAGES for name in names_in(page.read_text())]
    assert sorted(found) == sorted(TABLES)


# --- everything is there -------------------------------------------------------------------------


def test_every_queue_has_its_row() -> None:
    assert set(QUEUES) <= rows_of("queues.md")


def test_every_task_has_its_heading() -> None:
    assert set(registry()) <= set(headings(REFERENCE / "tasks.md"))


def test_every_state_outcome_reason_and_decision_has_its_row() -> None:
    known = {
        *State, *Attempt.Outcome, *DeadLetter.Reason, *DeadLetter.Decision, *ReplayBatch.State,
    }  # fmt: skip
    assert {str(value) for value in known} <= rows_of("states.md")
    for priority in Priority:
        assert f"`{priority.label}`" in (REFERENCE / "states.md").read_text()


def test_every_command_has_its_heading_and_its_exit_codes() -> None:
    page = headings(REFERENCE / "commands.md")
    for name, parser in commands.commands().items():
        assert name in page
        assert name in rows_of("commands.md")
        for below in commands.subcommands(parser):
            assert f"{name} {below}" in page


def test_every_setting_has_its_row() -> None:
    assert {name.upper() for name in Environment.model_fields} <= rows_of("settings.md")


def test_every_message_of_the_checks_has_its_row() -> None:
    apps = [app for app in ROOT.glob("*/checks.py") if ".venv" not in app.parts]
    messages = {
        message for app in apps for message in re.findall(r'id="(\w+\.[EW]\d{3})"', app.read_text())
    }
    assert messages
    assert messages <= rows_of("settings.md")


@pytest.mark.django_db
def test_every_metric_has_its_row_with_its_type_and_labels() -> None:
    page = (REFERENCE / "metrics.md").read_text()
    for metric in JobsCollector().collect():
        name = f"{metric.name}_total" if metric.type == "counter" else metric.name
        labels = ", ".join(f"`{label}`" for label in getattr(metric, "_labelnames", ()))
        assert re.search(rf"^\| `{name}` \| {metric.type} \| {labels} *\|", page, re.MULTILINE), (
            name
        )


def test_every_email_has_its_heading_its_row_and_its_helper() -> None:
    page = (REFERENCE / "emails.md").read_text()
    for event in EVENTS.values():
        assert event.name in headings(REFERENCE / "emails.md")
        (row,) = re.findall(rf"^\| `{event.name}` \|.*", page, re.MULTILINE)
        assert f"`queue_{event.name}_email`" in row
        assert hasattr(task_helpers, f"queue_{event.name}_email")
        assert row.endswith(f"| as `{event.kind}` |" if event.kind else "| no |")
        assert set(re.findall(r"`(\w+\.\w+)`", row)) & set(registry())


def test_every_kind_of_pdf_has_its_heading_and_its_row() -> None:
    assert set(DocumentKind.values) <= rows_of("pdfs.md")
    assert set(DocumentKind.values) <= set(headings(REFERENCE / "pdfs.md"))


def test_the_example_of_the_environment_has_every_variable_with_its_default() -> None:
    described = settings.described_variables()
    for name in (field.upper() for field in Environment.model_fields):
        assert name in described
        assert described[name][0] == settings.default_of(name), name
    used = set(re.findall(r"\$\{([A-Z_]+)", (ROOT / "docker-compose.yml").read_text()))
    assert used <= set(described)


def test_the_pdf_queue_runs_as_many_jobs_as_there_are_cores() -> None:
    assert all(QUEUES[name].concurrency == os.cpu_count() for name in registries.ONE_PER_CORE)


# --- links, pictures, code -----------------------------------------------------------------------


def links(page: Path) -> list[str]:
    """Return the addresses that a page names, pictures included."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    return [
        *re.findall(r"\[[^\]]*\]\(([^)\s]+)\)", text),
        *re.findall(r'(?:src|srcset|href)="([^"]+)"', text),
    ]


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CHANGELOG.md"], ids=named)
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    for link in links(page):
        if re.match(r"https?://", link):
            continue
        target, _, anchor = link.partition("#")
        path = (page.parent / target).resolve() if target else page
        assert path.exists(), f"{link} leads nowhere"
        if anchor:
            assert anchor in anchors(path), f"{link}: no such heading"


def test_every_page_is_found_from_the_index() -> None:
    index = DOCS / "README.md"
    found, todo = set[Path](), [index]
    while todo:
        page = todo.pop()
        if page in found:
            continue
        found.add(page)
        targets = [(page.parent / link.partition("#")[0]).resolve() for link in links(page)]
        todo += [target for target in targets if target.suffix == ".md" and target.exists()]
    assert set(DOCS.rglob("*.md")) <= found


def test_every_decision_has_a_title_and_two_paragraphs() -> None:
    pages = sorted((DOCS / "adr").glob("[0-9]*.md"))
    assert [page.name[:4] for page in pages] == [f"{n + 1:04}" for n in range(len(pages))]
    for page in pages:
        title, *paragraphs = page.read_text().strip().split("\n\n")
        assert re.match(rf"# {int(page.name[:4])}\. \S", title)
        assert len([part for part in paragraphs if not part.startswith("|")]) == 2, page.name


def test_the_task_of_the_readme_is_one_of_the_product() -> None:
    text = (ROOT / "README.md").read_text()
    (block,) = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    for part in re.split(r"\n{3}", block):
        path, code = part.split("\n", 1)
        assert code.strip() in (ROOT / path.removeprefix("# ")).read_text()


def test_the_readme_names_the_commands_and_make_has_them() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for page in PAGES:
        named_here = set(re.findall(r"(?:`|\$ )make ([a-z]+)", page.read_text()))
        assert named_here <= targets, page
    text = (ROOT / "README.md").read_text()
    assert all(f"$ make {name}" in text for name in ("demo", "up", "test"))
    assert "The test command is `make test`" in text


def test_the_readme_names_every_subcommand_of_jobs() -> None:
    text = (ROOT / "README.md").read_text()
    told = text[text.index("- **Terminal**") : text.index("- **API**")]
    for name in commands.subcommands(commands.commands()["jobs"]):
        assert f"`{name}`" in told or f"jobs {name}`" in told, name


def test_the_commands_in_the_documentation_exist() -> None:
    parsers = commands.commands()
    below = set(commands.subcommands(parsers["jobs"]))
    django = {"migrate", "check", "createsuperuser", "makemigrations"}
    for page in PAGES:
        for name, sub in re.findall(r"manage\.py ([a-z_]+)(?: ([a-z-]+))?", page.read_text()):
            assert name in parsers.keys() | django, f"{page}: manage.py {name}"
            if name == "jobs" and sub:
                assert sub in below, f"{page}: manage.py jobs {sub}"


# --- nothing of one machine ----------------------------------------------------------------------

#: Homes of people, and hosts of package indexes, in halves so that this file passes.
OF_ONE_MACHINE = re.compile(
    "|".join(
        (
            "/" + r"home/\w+",
            "/" + r"Users/\w+",
            "/" + r"root/",
            "pypi" + r"\.org",
            "pythonhosted" + r"\.org",
            "index" + r"-url[ =]+\S+:",
            "artifact" + "ory",
        )
    )
)


def test_no_text_file_names_a_path_of_one_machine_or_the_host_of_a_package_index() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if listed.returncode != 0:
        pytest.skip("not a checkout of git")
    for name in listed.stdout.splitlines():
        path = ROOT / name
        if not path.is_file():
            continue
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue  # a picture
        found = set(OF_ONE_MACHINE.findall(text))
        assert not found, f"{name}: {found}"
