"""Invoice numbers have no gap when many transactions want one at the same time."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection, transaction

from sales.numbering import next_sequence
from tests.conftest import Live
from tests.tenants.builders import make_tenant


@pytest.mark.processes
def test_many_at_once_get_every_number_once_and_what_is_rolled_back_is_given_again(
    live: Live,
) -> None:
    tenant = make_tenant()
    ready = threading.Barrier(8)

    def take(at: int) -> int | None:
        ready.wait()
        try:
            with transaction.atomic():
                number = next_sequence(tenant, 2026)
                if at % 4 == 0:
                    transaction.set_rollback(True)
                    return None
                return number
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        numbers = [number for number in pool.map(take, range(8)) if number is not None]
    assert sorted(numbers) == [1, 2, 3, 4, 5, 6]
