"""The memory of processes."""

import os

import psutil

from benchmarks.memory import measure, pss

ROLLUP = """55d0c1a00000-7ffd0d5f9000 ---p 00000000 00:00 0    [rollup]
Rss:              125000 kB
Pss:               99000 kB
Pss_Dirty:         95000 kB
"""


def test_the_proportional_size_is_read_in_megabytes() -> None:
    assert pss(ROLLUP) == 99_000 * 1024 / 1e6
    assert pss("") == 0.0


def test_processes_are_added_up_and_the_dead_are_passed_over() -> None:
    found = measure([psutil.Process(os.getpid())])
    assert found.total > 1
    assert found.keeper == 0.0
    assert measure([]).total == 0.0
