"""Writes the tables of the documentation that follow from the code.

    .venv/bin/python -m scripts.reference

A table stands between ``<!-- generated: NAME -->`` and ``<!-- /generated -->``; everything else on
the page is written by hand. ``tests/docs`` fails while a table differs from the code.
"""
