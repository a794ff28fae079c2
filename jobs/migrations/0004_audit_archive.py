"""Audit entries may leave the table for an archive, and in no other way.

Deleting them passes only in a transaction that names, in ``jobs.archiving``, a row of
``jobs_auditarchive``, and only if what was deleted is what that row says: as many entries, with the
same first and last id. A row of the past opens nothing, because its entries are gone. The rows
themselves cannot be changed or deleted. ``UPDATE`` and ``TRUNCATE`` are refused as before.
"""

from django.db import migrations

FORWARDS = """
DROP TRIGGER jobs_audit_append_only ON jobs_auditentry;

CREATE TRIGGER jobs_audit_append_only
    BEFORE UPDATE ON jobs_auditentry
    FOR EACH ROW EXECUTE FUNCTION jobs_audit_append_only();

CREATE FUNCTION jobs_audit_only_archived() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- Before anything is touched: who archives nothing need not wait for a long scan.
    IF COALESCE(current_setting('jobs.archiving', true), '') = '' THEN
        RAISE EXCEPTION 'the audit log is append-only: % is refused', TG_OP
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION jobs_audit_exactly_archived() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM jobs_auditarchive AS a
        JOIN (SELECT count(*) AS entries, min(id) AS first_id, max(id) AS last_id FROM gone) AS g
            ON (a.entries, a.first_id, a.last_id) = (g.entries, g.first_id, g.last_id)
        WHERE a.id = current_setting('jobs.archiving')::bigint
    ) THEN
        RAISE EXCEPTION 'the audit log is append-only: these entries are not those of the archive %',
            current_setting('jobs.archiving')
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER jobs_audit_only_archived
    BEFORE DELETE ON jobs_auditentry
    FOR EACH STATEMENT EXECUTE FUNCTION jobs_audit_only_archived();

CREATE TRIGGER jobs_audit_exactly_archived
    AFTER DELETE ON jobs_auditentry REFERENCING OLD TABLE AS gone
    FOR EACH STATEMENT EXECUTE FUNCTION jobs_audit_exactly_archived();

CREATE FUNCTION jobs_audit_archives_stay() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'what was archived of the audit log stays known: % is refused', TG_OP
        USING ERRCODE = 'integrity_constraint_violation';
END $$;

CREATE TRIGGER jobs_audit_archives_stay
    BEFORE UPDATE OR DELETE ON jobs_auditarchive
    FOR EACH ROW EXECUTE FUNCTION jobs_audit_archives_stay();

CREATE TRIGGER jobs_audit_archives_no_truncate
    BEFORE TRUNCATE ON jobs_auditarchive
    FOR EACH STATEMENT EXECUTE FUNCTION jobs_audit_archives_stay();
"""

BACKWARDS = """
DROP TRIGGER jobs_audit_archives_no_truncate ON jobs_auditarchive;
DROP TRIGGER jobs_audit_archives_stay ON jobs_auditarchive;
DROP FUNCTION jobs_audit_archives_stay();
DROP TRIGGER jobs_audit_exactly_archived ON jobs_auditentry;
DROP TRIGGER jobs_audit_only_archived ON jobs_auditentry;
DROP FUNCTION jobs_audit_exactly_archived();
DROP FUNCTION jobs_audit_only_archived();
DROP TRIGGER jobs_audit_append_only ON jobs_auditentry;

CREATE TRIGGER jobs_audit_append_only
    BEFORE UPDATE OR DELETE ON jobs_auditentry
    FOR EACH ROW EXECUTE FUNCTION jobs_audit_append_only();
"""


class Migration(migrations.Migration):
    dependencies = [("jobs", "0003_engine_that_loses_nothing")]

    operations = [migrations.RunSQL(FORWARDS, BACKWARDS)]
