"""`manage.py flush`, as Django has it; it empties tables that the guard keeps."""

from django.core.management.commands import flush

from safety.guard import lifted


class Command(flush.Command):
    def handle(self, **options):
        with lifted():
            super().handle(**options)
