"""``make chaos`` in small: a few dozen jobs through one fault of most kinds."""

import json
import os
import subprocess
import sys
from pathlib import Path
from subprocess import PIPE, STDOUT

import pytest

pytestmark = pytest.mark.processes
ROOT = Path(__file__).resolve().parents[2]
FAULTS = [
    "backends_terminated",
    "celery_killed",
    "child_killed",
    "enqueuer_killed_before_publishing",
    "host_killed",
    "keeper_killed",
    "messages_doubled",
    "old_payload",
    "postgres_restarted",
    "settlement_terminated",
    "valkey_flushed",
    "valkey_restarted",
]


def test_jobs_come_through_a_dozen_faults_with_nothing_lost_doubled_or_stuck(
    tmp_path: Path,
) -> None:
    report = tmp_path / "report.json"
    command = [sys.executable, "-m", "tests.chaos", "--jobs", "72", "--faults", str(len(FAULTS))]
    command += [
        "--seed",
        "3",
        "--minutes",
        "0.3",
        "--no-alone",
        "--report",
        str(report),
        "--only",
        *FAULTS,
    ]
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "tests.chaos.settings"}
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, text=True, stdout=PIPE, stderr=STDOUT
    ) as suite:
        try:
            output, _ = suite.communicate(timeout=200)
        except subprocess.TimeoutExpired:
            suite.terminate()  # it ends its processes and servers, which a kill would not
            output, _ = suite.communicate()
    assert suite.returncode == 0, output
    told = json.loads(report.read_text())
    assert told["jobs"] == 72
    assert told["faults"] == len(FAULTS)
    assert (told["lost"], told["duplicated"], told["stuck"], told["other"]) == (0, 0, 0, 0)
