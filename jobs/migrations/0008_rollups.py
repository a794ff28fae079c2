from django.db import migrations, models

#: A row is updated in place while its minute lasts, so half of each page is room for its versions;
#: then it is deleted, with all of its minute, and its page is soon wanted again.
UPDATED_IN_PLACE = (
    "fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 2000, "
    "autovacuum_analyze_scale_factor = 0.05"
)
STORAGE = {
    "jobs_rollup": UPDATED_IN_PLACE,
    "jobs_rolluptotal": "fillfactor = 50, autovacuum_vacuum_scale_factor = 0.2",
}


def reset(options: str) -> str:
    """Return the names of the options alone."""
    return ", ".join(option.split(" = ")[0] for option in options.split(", "))


class Migration(migrations.Migration):

    dependencies = [
        ('jobs', '0007_fewer_indexes'),
    ]

    operations = [
        migrations.CreateModel(
            name='QueueDepth',
            fields=[
                ('pk', models.CompositePrimaryKey('queue', 'state', 'parked', blank=True, editable=False, primary_key=True, serialize=False)),
                ('queue', models.CharField(max_length=64)),
                ('state', models.CharField(choices=[('scheduled', 'scheduled'), ('available', 'available'), ('queued', 'queued'), ('running', 'running'), ('succeeded', 'succeeded'), ('cancelled', 'cancelled'), ('dead', 'dead')], max_length=16)),
                ('parked', models.BooleanField()),
                ('count', models.BigIntegerField()),
                ('counted_at', models.DateTimeField()),
            ],
        ),
        migrations.CreateModel(
            name='RollupTotal',
            fields=[
                ('pk', models.CompositePrimaryKey('queue', 'task', 'outcome', 'state', 'error_type', blank=True, editable=False, primary_key=True, serialize=False)),
                ('queue', models.CharField(max_length=64)),
                ('task', models.CharField(max_length=200)),
                ('outcome', models.CharField(blank=True, choices=[('succeeded', 'Succeeded'), ('failed', 'Failed'), ('snoozed', 'Snoozed'), ('discarded', 'Discarded'), ('crashed', 'Crashed'), ('released', 'Released'), ('cancelled', 'Cancelled')], max_length=16)),
                ('state', models.CharField(choices=[('scheduled', 'scheduled'), ('available', 'available'), ('queued', 'queued'), ('running', 'running'), ('succeeded', 'succeeded'), ('cancelled', 'cancelled'), ('dead', 'dead')], max_length=16)),
                ('error_type', models.CharField(blank=True, max_length=200)),
                ('count', models.BigIntegerField()),
                ('wait_seconds', models.FloatField()),
                ('run_seconds', models.FloatField()),
                ('wait_histogram', models.DecimalField(decimal_places=0, max_digits=272)),
                ('run_histogram', models.DecimalField(decimal_places=0, max_digits=272)),
            ],
        ),
        migrations.CreateModel(
            name='Rollup',
            fields=[
                ('pk', models.CompositePrimaryKey('minute', 'queue', 'task', 'tenant', 'outcome', 'state', 'error_type', 'shard', blank=True, editable=False, primary_key=True, serialize=False)),
                ('minute', models.DateTimeField()),
                ('queue', models.CharField(max_length=64)),
                ('task', models.CharField(max_length=200)),
                ('tenant', models.CharField(max_length=64)),
                ('outcome', models.CharField(blank=True, choices=[('succeeded', 'Succeeded'), ('failed', 'Failed'), ('snoozed', 'Snoozed'), ('discarded', 'Discarded'), ('crashed', 'Crashed'), ('released', 'Released'), ('cancelled', 'Cancelled')], max_length=16)),
                ('state', models.CharField(choices=[('scheduled', 'scheduled'), ('available', 'available'), ('queued', 'queued'), ('running', 'running'), ('succeeded', 'succeeded'), ('cancelled', 'cancelled'), ('dead', 'dead')], max_length=16)),
                ('error_type', models.CharField(blank=True, max_length=200)),
                ('shard', models.IntegerField()),
                ('count', models.IntegerField()),
                ('wait_seconds', models.FloatField()),
                ('run_seconds', models.FloatField()),
                ('wait_histogram', models.DecimalField(decimal_places=0, max_digits=272)),
                ('run_histogram', models.DecimalField(decimal_places=0, max_digits=272)),
            ],
            options={
                'indexes': [models.Index(condition=models.Q(('shard', 0), _negated=True), fields=['minute'], name='jobs_rollup_shards')],
            },
        ),
        *(
            migrations.RunSQL(
                f"ALTER TABLE {table} SET ({options})",
                f"ALTER TABLE {table} RESET ({reset(options)})",
            )
            for table, options in STORAGE.items()
        ),
    ]
