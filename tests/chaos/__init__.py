"""``make chaos``: thousands of jobs through hundreds of faults, and then a count of what is left.

``python -m tests.chaos`` starts its own servers, two groups of worker processes and two processes
that enqueue; it kills, freezes, restarts and floods them in a seeded order (:mod:`tests.chaos.planner`,
:mod:`tests.chaos.faults`), waits until all is whole, and then compares what was asked for with what
the tables say (:mod:`tests.chaos.verify`). See ``docs/how-to/run-the-chaos-suite.md``.
"""
