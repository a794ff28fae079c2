"""One module for each system that is measured: how it is asked for work, and its worker.

Each runs in an environment of its own (see :mod:`benchmarks.environments`), as a program with the
verbs of :mod:`benchmarks.peers.asking`.
"""
