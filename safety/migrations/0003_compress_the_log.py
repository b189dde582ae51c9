"""PostgreSQL only: bytes of the log are compressed with lz4, three times as fast as pglz at this size.

A server that was built without lz4 keeps its default; what is stored reads the same either way.
"""

from django.db import migrations

COLUMNS = [("safety_body", "bytes"), ("safety_index", "wire")]
KNOWS_LZ4 = "SELECT 'lz4' = ANY(enumvals) FROM pg_settings WHERE name = 'default_toast_compression'"


def compress(apps, schema_editor):
    if schema_editor.connection.vendor != "postgresql":
        return
    with schema_editor.connection.cursor() as cursor:
        cursor.execute(KNOWS_LZ4)
        if not cursor.fetchone()[0]:
            return
    for table, column in COLUMNS:
        schema_editor.execute(f'ALTER TABLE "{table}" ALTER COLUMN "{column}" SET COMPRESSION lz4')


class Migration(migrations.Migration):
    dependencies = [("safety", "0002_start_the_clock")]
    operations = [migrations.RunPython(compress, migrations.RunPython.noop)]
