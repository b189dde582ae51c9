"""Times on pages, as people say them."""

from datetime import datetime

from django import template

from sync.words import length, when

register = template.Library()


@register.filter
def said_when(moment: datetime, now: datetime) -> str:
    """今天 16:20."""
    return when(moment, now)


@register.filter
def said_age(moment: datetime, now: datetime) -> str:
    """2 天 3 小时: how long ago a moment was."""
    return length(now - moment)
