"""Files in: CSV and Excel are checked row by row and loaded in bulk. Knows no domain.

An app offers what can be imported into it by registering an :class:`~imports.registry.Importer`.
"""
