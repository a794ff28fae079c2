from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('jobs', '0004_audit_archive'),
    ]

    operations = [
        migrations.AddField(
            model_name='replaybatch',
            name='job_id',
            field=models.UUIDField(null=True),
        ),
        migrations.AddField(
            model_name='replaybatch',
            name='refusals',
            field=models.JSONField(default=dict),
        ),
        migrations.AddField(
            model_name='replaybatch',
            name='reached',
            field=models.JSONField(null=True),
        ),
        migrations.AddIndex(
            model_name='deadletter',
            index=models.Index(condition=models.Q(('decision', ''), _negated=True), fields=['decided_at'], name='jobs_deadletter_decided'),
        ),
        migrations.AddIndex(
            model_name='effect',
            index=models.Index(condition=models.Q(('state', 'done')), fields=['finished_at'], name='jobs_effect_done'),
        ),
    ]
