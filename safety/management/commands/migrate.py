"""`manage.py migrate`, as Django has it; migrations that move data write tables that the guard keeps."""

from django.core.management.commands import migrate

from safety.guard import lifted


class Command(migrate.Command):
    def handle(self, *args, **options):
        with lifted():
            super().handle(*args, **options)
