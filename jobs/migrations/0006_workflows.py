import django.db.models.functions.datetime
import uuid_utils.compat
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('jobs', '0005_pruning_and_replays'),
    ]

    operations = [
        migrations.CreateModel(
            name='Workflow',
            fields=[
                ('id', models.UUIDField(default=uuid_utils.compat.uuid7, editable=False, primary_key=True, serialize=False)),
                ('name', models.CharField(max_length=200)),
                ('total', models.IntegerField()),
                ('tenant', models.CharField(blank=True, default='', max_length=64)),
                ('correlation_id', models.CharField(blank=True, default='', max_length=64)),
                ('started_by', models.CharField(blank=True, default='', max_length=150)),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('cancelled_at', models.DateTimeField(null=True)),
            ],
            options={
                'ordering': ['-id'],
            },
        ),
        migrations.RemoveField(
            model_name='job',
            name='follows',
        ),
        migrations.AddField(
            model_name='group',
            name='failures',
            field=models.IntegerField(default=0),
        ),
        migrations.AddField(
            model_name='group',
            name='shape',
            field=models.JSONField(null=True),
        ),
        migrations.AlterField(
            model_name='group',
            name='body',
            field=models.JSONField(),
        ),
        migrations.AddIndex(
            model_name='job',
            index=models.Index(condition=models.Q(('parent_id__isnull', False)), fields=['parent_id', 'id'], name='jobs_job_parent'),
        ),
    ]
