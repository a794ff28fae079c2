"""The database itself keeps the audit log append-only."""

from django.db import migrations

FORWARDS = """
CREATE FUNCTION jobs_audit_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit log is append-only: % is refused', TG_OP
        USING ERRCODE = 'integrity_constraint_violation';
END $$;

CREATE TRIGGER jobs_audit_append_only
    BEFORE UPDATE OR DELETE ON jobs_auditentry
    FOR EACH ROW EXECUTE FUNCTION jobs_audit_append_only();

CREATE TRIGGER jobs_audit_no_truncate
    BEFORE TRUNCATE ON jobs_auditentry
    FOR EACH STATEMENT EXECUTE FUNCTION jobs_audit_append_only();
"""

BACKWARDS = """
DROP TRIGGER jobs_audit_no_truncate ON jobs_auditentry;
DROP TRIGGER jobs_audit_append_only ON jobs_auditentry;
DROP FUNCTION jobs_audit_append_only();
"""


class Migration(migrations.Migration):
    dependencies = [("jobs", "0001_initial")]

    operations = [migrations.RunSQL(FORWARDS, BACKWARDS)]
