"""The one clock row, at zero, under an epoch of its own."""

from django.db import migrations

from safety.ids import new_id


def start(apps, schema_editor):
    apps.get_model("safety", "Clock").objects.get_or_create(id=1, defaults={"seq": 0, "epoch": f"e-{new_id()}"})


class Migration(migrations.Migration):
    dependencies = [("safety", "0001_initial")]
    operations = [migrations.RunPython(start, migrations.RunPython.noop)]
