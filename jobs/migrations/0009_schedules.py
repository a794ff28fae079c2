import datetime
import django.core.validators
import django.db.models.deletion
import django.db.models.functions.datetime
import uuid
from django.db import migrations, models

#: A change of when a schedule is due makes it stale: from that moment on it is due as it is now.
#: What was due before, and not seen to, stays to be seen to; what the next change replaces does not.
FORWARDS = """
CREATE FUNCTION jobs_schedule_changed(ids integer[]) RETURNS void LANGUAGE sql AS $$
    INSERT INTO jobs_schedule AS s
        (periodic_task_id, stale, wake_at, plan_after, changed_at)
    SELECT id, true, clock_timestamp(), clock_timestamp(), clock_timestamp()
    FROM unnest(ids) AS one (id)
    ORDER BY id
    ON CONFLICT (periodic_task_id) DO UPDATE
    SET stale = true, wake_at = EXCLUDED.wake_at, plan_after = EXCLUDED.plan_after,
        changed_at = EXCLUDED.changed_at,
        next_at = CASE WHEN s.stale AND s.next_at > s.plan_after THEN NULL ELSE s.next_at END
$$;

CREATE FUNCTION jobs_periodic_task_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM jobs_schedule_changed(ARRAY[NEW.id]);
    RETURN NULL;
END $$;
CREATE TRIGGER jobs_periodic_task_added
    AFTER INSERT ON django_celery_beat_periodictask
    FOR EACH ROW EXECUTE FUNCTION jobs_periodic_task_changed();
CREATE TRIGGER jobs_periodic_task_changed
    AFTER UPDATE ON django_celery_beat_periodictask
    FOR EACH ROW WHEN (
        (OLD.enabled, OLD.crontab_id, OLD.interval_id, OLD.clocked_id, OLD.solar_id,
         OLD.start_time, OLD.expires)
        IS DISTINCT FROM
        (NEW.enabled, NEW.crontab_id, NEW.interval_id, NEW.clocked_id, NEW.solar_id,
         NEW.start_time, NEW.expires))
    EXECUTE FUNCTION jobs_periodic_task_changed();

CREATE FUNCTION jobs_timing_changed() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE ids integer[];
BEGIN
    EXECUTE format('SELECT array_agg(id) FROM django_celery_beat_periodictask WHERE %I = $1',
                   TG_ARGV[0]) INTO ids USING NEW.id;
    PERFORM jobs_schedule_changed(COALESCE(ids, '{}'));
    RETURN NULL;
END $$;
CREATE TRIGGER jobs_crontab_changed
    AFTER UPDATE ON django_celery_beat_crontabschedule
    FOR EACH ROW WHEN (OLD.* IS DISTINCT FROM NEW.*)
    EXECUTE FUNCTION jobs_timing_changed('crontab_id');
CREATE TRIGGER jobs_interval_changed
    AFTER UPDATE ON django_celery_beat_intervalschedule
    FOR EACH ROW WHEN (OLD.* IS DISTINCT FROM NEW.*)
    EXECUTE FUNCTION jobs_timing_changed('interval_id');
CREATE TRIGGER jobs_clocked_changed
    AFTER UPDATE ON django_celery_beat_clockedschedule
    FOR EACH ROW WHEN (OLD.* IS DISTINCT FROM NEW.*)
    EXECUTE FUNCTION jobs_timing_changed('clocked_id');

CREATE FUNCTION jobs_days_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.stale AND OLD.next_at > OLD.plan_after THEN
        NEW.next_at := NULL;
    END IF;
    NEW.stale := true;
    NEW.wake_at := clock_timestamp();
    NEW.plan_after := clock_timestamp();
    NEW.changed_at := clock_timestamp();
    RETURN NEW;
END $$;
CREATE TRIGGER jobs_days_changed
    BEFORE UPDATE ON jobs_schedule
    FOR EACH ROW WHEN ((OLD.days, OLD.country) IS DISTINCT FROM (NEW.days, NEW.country))
    EXECUTE FUNCTION jobs_days_changed();

SELECT jobs_schedule_changed(array_agg(id)) FROM django_celery_beat_periodictask;
"""

BACKWARDS = """
DROP TRIGGER jobs_days_changed ON jobs_schedule;
DROP TRIGGER jobs_clocked_changed ON django_celery_beat_clockedschedule;
DROP TRIGGER jobs_interval_changed ON django_celery_beat_intervalschedule;
DROP TRIGGER jobs_crontab_changed ON django_celery_beat_crontabschedule;
DROP TRIGGER jobs_periodic_task_changed ON django_celery_beat_periodictask;
DROP TRIGGER jobs_periodic_task_added ON django_celery_beat_periodictask;
DROP FUNCTION jobs_days_changed();
DROP FUNCTION jobs_timing_changed();
DROP FUNCTION jobs_periodic_task_changed();
DROP FUNCTION jobs_schedule_changed(integer[]);
"""


class Migration(migrations.Migration):

    dependencies = [
        ('django_celery_beat', '0019_alter_periodictasks_options'),
        ('jobs', '0008_rollups'),
    ]

    operations = [
        migrations.CreateModel(
            name='Beat',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, primary_key=True, serialize=False)),
                ('host', models.CharField(max_length=255)),
                ('pid', models.PositiveIntegerField()),
                ('started_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('ticked_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('stopped_at', models.DateTimeField(null=True)),
            ],
            options={
                'default_permissions': ('view',),
            },
        ),
        migrations.CreateModel(
            name='Canary',
            fields=[
                ('queue', models.CharField(max_length=64, primary_key=True, serialize=False)),
                ('enqueued_at', models.DateTimeField()),
                ('ran_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
            options={
                'default_permissions': ('view',),
            },
        ),
        migrations.CreateModel(
            name='Schedule',
            fields=[
                ('periodic_task', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name='rules', serialize=False, to='django_celery_beat.periodictask')),
                ('missed', models.CharField(choices=[('once', 'run once for all of them'), ('skip', 'skip them'), ('all', 'run each, up to a limit')], db_default='once', default='once', help_text='What is done about instants at which no beat was running.', max_length=8, verbose_name='missed instants')),
                ('missed_limit', models.PositiveSmallIntegerField(db_default=10, default=10, help_text='Of missed instants that are each run, the latest so many.', validators=[django.core.validators.MinValueValidator(1), django.core.validators.MaxValueValidator(100)], verbose_name='at most')),
                ('grace', models.DurationField(db_default=datetime.timedelta(seconds=43200), default=datetime.timedelta(seconds=43200), help_text='What is late by more than this is never run: hours:minutes:seconds.', validators=[django.core.validators.MinValueValidator(datetime.timedelta(seconds=60))])),
                ('overlap', models.CharField(choices=[('allow', 'run both'), ('skip', 'skip it')], db_default='allow', default='allow', help_text='What is done while the job of the last instant is unfinished.', max_length=8)),
                ('jitter', models.DurationField(db_default=datetime.timedelta(0), default=datetime.timedelta(0), help_text='Each job begins up to this much later, so that not all begin at once.', validators=[django.core.validators.MinValueValidator(datetime.timedelta(0)), django.core.validators.MaxValueValidator(datetime.timedelta(days=1))])),
                ('days', models.CharField(choices=[('all', 'every day'), ('business', 'business days'), ('first_business', 'the first business day of the month'), ('last_business', 'the last business day of the month')], db_default='all', default='all', max_length=16)),
                ('country', models.CharField(blank=True, db_default='', default='', help_text='Whose business days: ISO 3166-1, perhaps with a part, such as DE or DE-BY.', max_length=10)),
                ('declared', models.JSONField(editable=False, null=True)),
                ('declared_name', models.CharField(db_default='', default='', editable=False, max_length=200)),
                ('next_at', models.DateTimeField(editable=False, null=True)),
                ('wake_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False, null=True)),
                ('plan_after', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False)),
                ('changed_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False)),
                ('stale', models.BooleanField(db_default=True, default=True, editable=False)),
                ('problem', models.TextField(db_default='', default='', editable=False)),
                ('last_due_at', models.DateTimeField(editable=False, null=True)),
                ('last_job_id', models.UUIDField(editable=False, null=True)),
            ],
            options={
                'verbose_name': 'rules',
                'verbose_name_plural': 'rules',
                'indexes': [models.Index(condition=models.Q(('wake_at__isnull', False)), fields=['wake_at'], name='jobs_schedule_wake'), models.Index(condition=models.Q(('declared_name', ''), _negated=True), fields=['declared_name'], name='jobs_schedule_declared')],
            },
        ),
        migrations.CreateModel(
            name='Firing',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(max_length=200)),
                ('due_at', models.DateTimeField()),
                ('fired_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('outcome', models.CharField(choices=[('fired', 'Fired'), ('missed', 'Missed'), ('overlapped', 'Overlapped'), ('failed', 'Failed')], max_length=12)),
                ('reason', models.TextField(db_default='', default='')),
                ('job_id', models.UUIDField(null=True)),
                ('instants', models.PositiveIntegerField(db_default=1, default=1)),
                ('by_hand', models.CharField(db_default='', default='', max_length=150)),
                ('schedule', models.ForeignKey(db_index=False, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='firings', to='django_celery_beat.periodictask')),
            ],
            options={
                'ordering': ['-due_at', '-id'],
                'default_permissions': ('view',),
                'indexes': [models.Index(fields=['fired_at'], name='jobs_firing_fired')],
                'constraints': [models.UniqueConstraint(fields=('schedule', 'due_at', 'by_hand'), name='jobs_firing_once')],
            },
        ),
        migrations.RunSQL(FORWARDS, BACKWARDS),
    ]
