"""Plans a run from its seed: every job, every transaction, every fault, in their order.

Only the timing of the processes is not the seed's: who gets a job, and what it is doing when the
fault strikes.
"""

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from tests.chaos.plan import QUEUES, Plan, PlannedJob, Step, Unit

TENANTS = ("acme", "lumen", "northwind", "zenith")
#: The largest transaction, in jobs.
LARGEST_UNIT = 5
#: Of the transactions, how many are rolled back, enqueue in bulk, or start a workflow.
ROLLED_BACK, BULK, FLOWS = 0.06, 0.06, 0.05
FEWEST_IN_BULK, MOST_IN_BULK = 6, 30
#: Jobs of a step that is measured alone: more than there are workers, each of them short.
EVEN_JOBS = 30


def make(
    seed: int,
    *,
    jobs: int,
    faults: int,
    kinds: dict[str, int],
    crowds: Sequence[str] = (),
    alone: Sequence[str] = (),
) -> Plan:
    """Plan ``jobs`` jobs and ``faults`` faults.

    ``kinds`` are the faults to draw from, with their weights; the faults of ``crowds`` meet more
    jobs than the others. Those of ``alone`` come first, once each.
    """
    chance = random.Random(seed)
    calm = chance.sample(sorted(alone), len(alone))[:faults]
    order = calm + _faults(chance, faults - len(calm), kinds, missing=set(kinds) - {*calm})
    shares = [3.0 if kind in crowds else 1.0 for kind in order]
    maker = _Maker(chance)
    steps = []
    for number, kind in enumerate(order):
        units, left = list[Unit](), jobs - maker.committed
        if number < len(calm):
            units = maker.even_units(min(EVEN_JOBS, left), kind)
            wanted = jobs - maker.committed if number == len(order) - 1 else 0
        else:
            # What is left is shared among the steps that are left: the total comes out even.
            wanted = round(left * shares[number] / sum(shares[number:]))
        units += maker.units(wanted, kind)
        steps.append(
            Step(
                number=number,
                fault=kind,
                seed=f"{seed}/{number}/{kind}",
                pause=chance.choice((0.0, 0.05, 0.15, 0.4)),
                alone=number < len(calm),
                units=units,
            )
        )
    return Plan(seed=seed, steps=steps)


def _faults(
    chance: random.Random, count: int, kinds: dict[str, int], *, missing: set[str]
) -> list[str]:
    """Return the faults in their order: each that is missing once at least, the rest by weight."""
    names = sorted(kinds)
    drawn = chance.sample(sorted(missing), min(count, len(missing)))
    more = count - len(drawn)
    drawn += chance.choices(names, [kinds[name] for name in names], k=more)
    chance.shuffle(drawn)
    return drawn


class _Maker:
    """Draws jobs, and numbers them."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._keys = 0
        self._units = 0
        self.committed = 0

    def even_units(self, wanted: int, fault: str) -> list[Unit]:
        """Return the transactions of a step that is measured: jobs that keep all workers busy."""
        chance, units = self._chance, list[Unit]()
        queues = [queue for queue, share in QUEUES.items() if share]
        for first in range(0, wanted, LARGEST_UNIT):
            jobs = [
                PlannedJob(
                    key=self._key(),
                    task=chance.choice(("chaos.effect", "chaos.atomic_effect")),
                    queue=queues[place % len(queues)],
                    tenant=chance.choice(TENANTS),
                    sleep_ms=chance.randint(200, 600),
                )
                for place in range(first, min(first + LARGEST_UNIT, wanted))
            ]
            units.append(self._unit(jobs))
        if fault == "enqueuer_killed_before_publishing" and units:
            units[-1] = replace(units[-1], dies=True)
        self.committed += wanted
        return units

    def units(self, wanted: int, fault: str) -> list[Unit]:
        """Return the transactions of a step, with ``wanted`` jobs that are committed."""
        chance, units, left = self._chance, list[Unit](), wanted
        special = self._special(fault)
        if special is not None and left > 0:
            left -= 1
            units.append(self._unit([special]))
        if fault == "enqueuer_killed_before_publishing" and left > 0:
            size = min(left, LARGEST_UNIT)
            left -= size
            due = [replace(self._job(), delay=0.0) for _ in range(size)]
            units.append(replace(self._unit(due), dies=True))
        while left > 0:
            if left >= FEWEST_IN_BULK and chance.random() < BULK:
                units.append(self._bulk(min(left, chance.randint(FEWEST_IN_BULK, MOST_IN_BULK))))
                left -= len(units[-1].jobs)
                continue
            if left > 1 and chance.random() < FLOWS:
                units.append(self._flow(min(left, chance.randint(2, LARGEST_UNIT))))
                left -= len(units[-1].jobs)
                continue
            size = min(left, chance.randint(1, LARGEST_UNIT))
            if chance.random() < ROLLED_BACK:
                units.append(self._unit([self._job() for _ in range(size)], rolls_back=True))
                continue
            left -= size
            units.append(self._unit([self._job() for _ in range(size)]))
        chance.shuffle(units)
        self.committed += wanted
        return units

    def _unit(self, jobs: list[PlannedJob], **how: Any) -> Unit:
        self._units += 1
        return Unit(number=self._units, jobs=jobs, **how)

    def _flow(self, size: int) -> Unit:
        """Return a chain or a chord; its steps may fail a time or two, but succeed in the end."""
        chance = self._chance
        jobs = [
            PlannedJob(
                key=self._key(),
                task=chance.choice(("chaos.effect", "chaos.atomic_effect")),
                queue=chance.choices(list(QUEUES), list(QUEUES.values()))[0],
                sleep_ms=chance.randint(2, 300),
                fail_times=chance.choice((0, 0, 0, 1)),
            )
            for _ in range(size)
        ]
        return self._unit(jobs, flow=chance.choice(("chain", "chord")))

    def _bulk(self, size: int) -> Unit:
        task = self._chance.choice(("chaos.effect", "chaos.bulk_effect"))
        tenant = self._chance.choice(TENANTS)
        jobs = [
            PlannedJob(
                key=self._key(),
                task=task,
                queue="notifications",
                tenant=tenant,
                sleep_ms=self._chance.randint(0, 4),
            )
            for _ in range(size)
        ]
        return self._unit(jobs, bulk=True)

    def _key(self) -> int:
        self._keys += 1
        return self._keys

    def _special(self, fault: str) -> PlannedJob | None:
        if fault == "old_payload":
            return PlannedJob(key=self._key(), queue="email", tenant="acme", old_shape=True)
        if fault == "task_of_tomorrow":
            task = "chaos.effect_of_tomorrow"
            return PlannedJob(key=self._key(), task=task, tenant="acme", sleep_ms=20)
        return None

    def _job(self) -> PlannedJob:
        chance = self._chance
        queue = chance.choices(list(QUEUES), list(QUEUES.values()))[0]
        tenant = chance.choice(TENANTS)
        fate = chance.random()
        if fate < 0.003:
            where = chance.choice(("pdf", "inventory"))  # a thread would take its worker along
            return PlannedJob(key=self._key(), task="chaos.poison", queue=where, tenant=tenant)
        job: dict[str, Any] = {
            "key": self._key(),
            "queue": queue,
            "tenant": tenant,
            "priority": chance.choices((0, 1, 2, 3), (1, 2, 10, 3))[0],
            "sleep_ms": chance.choices(
                (
                    chance.randint(2, 30),
                    chance.randint(50, 400),
                    chance.randint(500, 2_000),
                    chance.randint(2_000, 4_000),
                ),
                (30, 52, 15, 3),
            )[0],
            "delay": chance.choices((0.0, round(chance.uniform(0.5, 4.0), 2)), (9, 1))[0],
        }
        if fate < 0.008:
            return PlannedJob(**job | {"task": "chaos.hopeless"})
        job["task"] = chance.choice(("chaos.effect", "chaos.atomic_effect"))
        if fate < 0.02:
            return PlannedJob(**job | {"permanent": True})
        if fate < 0.14:
            return PlannedJob(**job | {"fail_times": chance.randint(1, 2)})
        if fate < 0.20:
            short = {"task": "chaos.narrow_effect", "sleep_ms": chance.randint(2, 200)}
            return PlannedJob(**job | short)
        return PlannedJob(**job)
