"""What a run is told as: a table for people, JSON for programs, and all there is about a failure."""

import json
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.chaos.evidence import Evidence
from tests.chaos.recovery import Longest
from tests.chaos.verify import Finding
from tests.chaos.world import Strike

#: Failing jobs that are told with everything about them.
TOLD_IN_FULL = 12

_HEAD = (
    f"{'fault':<34}{'times':>6}{'jobs hit':>10}{'recovery':>11}"
    f"{'alone':>9}{'by default':>12}{'limit':>8}"
)


@dataclass(kw_only=True)
class Report:
    """One run and its count."""

    seed: int
    command: str
    evidence: Evidence
    findings: list[Finding]
    problems: list[str]
    strikes: list[Strike]
    recoveries: list[Longest]
    #: Seconds: from the first fault to the last, and until every job was final after that.
    storm: float
    calm: float

    @property
    def well(self) -> bool:
        """Whether nothing was lost, done twice, stuck or too late, and the suite itself was well."""
        return not (self.findings or self.problems or any(one.too_long for one in self.recoveries))

    def count(self, kind: str) -> int:
        """Return how many jobs have a finding of this kind."""
        return len({finding.job for finding in self.findings if finding.kind == kind})

    def as_json(self) -> dict[str, Any]:
        """Return the whole report."""
        jobs = self.evidence.jobs.values()
        slowest = max((intent.seconds for intent in self.evidence.intents), default=0.0)
        return {
            "seed": self.seed,
            "command": self.command,
            "well": self.well,
            "jobs": len(jobs),
            "states": dict(Counter(job.state for job in jobs)),
            "attempts": sum(job.attempt for job in jobs),
            "crashes": sum(job.crashes for job in jobs),
            "transactions": dict(Counter(intent.outcome for intent in self.evidence.intents)),
            "slowest_transaction_seconds": round(slowest, 3),
            "faults": len(self.strikes),
            "lost": self.count("lost"),
            "duplicated": self.count("duplicated"),
            "stuck": self.count("stuck"),
            "other": len({f.job for f in self.findings} - self._counted()),
            "storm_seconds": round(self.storm, 1),
            "calm_seconds": round(self.calm, 1),
            "jobs_per_second": round(len(jobs) / (self.storm + self.calm), 2),
            "longest_recovery_seconds": round(self._longest(), 1),
            "recovery": {
                one.kind: {
                    "times": one.times,
                    "jobs_hit": one.hit,
                    "longest_seconds": round(one.worst.seconds, 2) if one.worst else None,
                    "longest_job": one.worst.job if one.worst else None,
                    "alone_seconds": round(one.alone.seconds, 2) if one.alone else None,
                    "alone_by_default_seconds": round(one.alone.usual, 1) if one.alone else None,
                    "limit_seconds": one.limit,
                }
                for one in self.recoveries
            },
            "problems": self.problems,
            "findings": [asdict(finding) for finding in self.findings],
            "strikes": [strike.as_json() for strike in self.strikes],
        }

    def _counted(self) -> set[str]:
        kinds = {"lost", "duplicated", "stuck"}
        return {finding.job for finding in self.findings if finding.kind in kinds}

    def _longest(self) -> float:
        return max((one.worst.seconds for one in self.recoveries if one.worst), default=0.0)

    def write(self, path: Path) -> None:
        """Keep it as JSON."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(self.as_json(), indent=1, default=str) + "\n")

    def table(self) -> str:
        """Return it for a terminal."""
        told = self.as_json()
        lines = [
            (
                f"{told['jobs']} jobs, {told['faults']} faults, seed {self.seed}: "
                f"{self.storm:.0f} s of faults, {self.calm:.1f} s until all was final "
                f"({told['jobs_per_second']} jobs/s)"
            ),
            _HEAD,
        ]
        for one in self.recoveries:
            alone = f"{one.alone.seconds:.1f} s" if one.alone else "-"
            usual = f"{one.alone.usual:.1f} s" if one.alone and one.limit else "-"
            recovery = f"{one.worst.seconds:.1f} s" if one.worst else "-"
            limit = f"{one.limit:.0f} s" if one.limit else "-"
            late = "  TOO LONG" if one.too_long else ""
            lines.append(
                f"{one.kind:<34}{one.times:>6}{one.hit:>10}{recovery:>11}"
                f"{alone:>9}{usual:>12}{limit:>8}{late}"
            )
        lines += [
            (
                f"{told['attempts']} attempts, {told['crashes']} of them crashed; "
                f"{told['states']}; transactions {told['transactions']}, "
                f"the slowest {told['slowest_transaction_seconds']:.1f} s"
            ),
            (
                f"lost {told['lost']}   duplicated {told['duplicated']}   stuck {told['stuck']}   "
                f"other {told['other']}   longest recovery {told['longest_recovery_seconds']} s"
            ),
        ]
        return "\n".join(lines)

    def failure(self, logs: list[Path]) -> str:
        """Return what is known of everything that is wrong, and how to see it again."""
        lines = [f"problem: {problem}" for problem in self.problems]
        wrong: dict[str, list[Finding]] = {}
        for finding in [*self.findings, *self._late()]:
            wrong.setdefault(finding.job, []).append(finding)
        for id_ in list(wrong)[:TOLD_IN_FULL]:
            lines += ["", f"job {id_ or '(none)'}"]
            lines += [f"  {finding.kind}: {finding.what}" for finding in wrong[id_]]
            lines += [f"  {line}" for line in self._trail(id_, logs)] if id_ else []
        if len(wrong) > TOLD_IN_FULL:
            lines.append(f"… and {len(wrong) - TOLD_IN_FULL} more jobs, see the report")
        return "\n".join([*lines, "", f"Again: {self.command}"])

    def _late(self) -> list[Finding]:
        return [
            Finding(
                kind="too long",
                job=one.alone.job,
                what=f"{one.kind} (fault {one.alone.strike.number}): {one.alone.seconds:.1f} s, "
                f"{one.alone.usual:.1f} s by default settings, limit {one.limit:g} s",
            )
            for one in self.recoveries
            if one.too_long and one.alone
        ]

    def _trail(self, id_: str, logs: list[Path]) -> list[str]:
        job = self.evidence.jobs.get(id_)
        if job is None:
            return ["no row"]
        told = [(entry.at, str(entry)) for entry in job.entries]
        since = min((at for at, _ in told), default=0.0)
        until = max((at for at, _ in told), default=0.0)
        told += [
            (strike.at, f"{strike.at:.3f} -- {strike.kind} {strike.whom}")
            for strike in self.strikes
            if since - 1 <= strike.at <= until + 1
        ]
        return [
            f"{job.task} on {job.queue}, key {job.key}, effects of attempts {job.effects}",
            *(line for _, line in sorted(told)),
            *(str(attempt) for attempt in job.attempts),
            *(
                f"{path.stem}: {line[:400]}"
                for path in logs
                if path.exists()
                for line in path.read_text(errors="replace").splitlines()
                if id_ in line
            ),
        ]
