"""Products, warehouses, stock and its ledger, and alerts when stock runs low."""
