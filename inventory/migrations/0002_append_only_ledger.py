"""The database itself keeps the stock ledger append-only."""

from django.db import migrations

FORWARDS = """
CREATE FUNCTION inventory_movement_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the stock ledger is append-only: % is refused', TG_OP
        USING ERRCODE = 'integrity_constraint_violation';
END $$;

CREATE TRIGGER inventory_movement_append_only
    BEFORE UPDATE OR DELETE ON inventory_movement
    FOR EACH ROW EXECUTE FUNCTION inventory_movement_append_only();

CREATE TRIGGER inventory_movement_no_truncate
    BEFORE TRUNCATE ON inventory_movement
    FOR EACH STATEMENT EXECUTE FUNCTION inventory_movement_append_only();
"""

BACKWARDS = """
DROP TRIGGER inventory_movement_no_truncate ON inventory_movement;
DROP TRIGGER inventory_movement_append_only ON inventory_movement;
DROP FUNCTION inventory_movement_append_only();
"""


class Migration(migrations.Migration):
    dependencies = [("inventory", "0001_initial")]

    operations = [migrations.RunSQL(FORWARDS, BACKWARDS)]
