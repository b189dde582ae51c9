"""PostgreSQL only: bytes of the log are compressed with lz4, three times as fast as pglz at this size."""

from django.db import migrations

COLUMNS = [("safety_body", "bytes"), ("safety_index", "wire")]


def compress(apps, schema_editor):
    if schema_editor.connection.vendor != "postgresql":
        return
    for table, column in COLUMNS:
        schema_editor.execute(f'ALTER TABLE "{table}" ALTER COLUMN "{column}" SET COMPRESSION lz4')


class Migration(migrations.Migration):
    dependencies = [("safety", "0002_start_the_clock")]
    operations = [migrations.RunPython(compress, migrations.RunPython.noop)]
