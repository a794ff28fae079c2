"""What the inventory does by itself, at each zone's local time."""

from jobs.schedules.declare import Declaration, declare

declare(
    Declaration(
        name="inventory.check_stock",
        task="inventory.check_stock_of_zone",
        cron="0 1 * * *",
        description="Compares every stock level with its threshold, and alerts.",
    ),
)
