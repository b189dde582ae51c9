"""What every page of ours may say of itself."""

from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from safety.models import Organisation


def is_demo() -> bool:
    """Whether a demonstration district is loaded; its pages are marked (design §3)."""
    return Organisation.objects.filter(demo=True).exists()


def demo_mark(request: HttpRequest) -> dict:
    """Django's context processor; the table is asked only by a page that shows the mark."""
    return {"demo": SimpleLazyObject(is_demo)}
