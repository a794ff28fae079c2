"""Whether tenants take turns in a queue's line."""

from collections import Counter, defaultdict
from collections.abc import Iterable

#: A queue and a priority: tenants take turns inside it.
Class = tuple[str, int]

#: The turns that another tenant may have while a tenant waits for one. By the rule of the seats a
#: tenant's next job sits at most one behind the job of it that was claimed last, and of each other
#: tenant there is one job on that seat and one on the seat before.
MOST = 2


class Turns:
    """Counts turns where nothing but enqueueing and claiming happens, one after the other.

    Whatever else brings or takes a job makes the class *upset*: nothing is promised there until its
    line has been empty.
    """

    def __init__(self) -> None:
        self._upset: set[Class] = set()
        #: Turns of each other tenant since a tenant's own.
        self._passed: dict[Class, dict[str, Counter[str]]] = defaultdict(
            lambda: defaultdict(Counter)
        )
        #: How many turns were taken that another tenant waited for.
        self.count = 0

    def upset(self, place: Class) -> None:
        """Somebody came, or went, out of turn."""
        self._upset.add(place)

    def calm(self, place: Class) -> None:
        """The line is empty."""
        self._upset.discard(place)
        self._passed.pop(place, None)

    def take(self, place: Class, tenant: str, waiting: Iterable[str]) -> None:
        """A job of the tenant is claimed while these tenants have jobs in line; or fail."""
        passed = self._passed[place]
        passed[tenant].clear()
        for other in set(waiting) - {tenant}:
            passed[other][tenant] += 1
            if place not in self._upset:
                self.count += 1
                turns = passed[other][tenant]
                assert turns <= MOST, f"{turns} turns of {tenant!r} in {place}, none of {other!r}"
