"""Addresses that are read and spoken to alike: GET shows, POST and PATCH say a verb. Nothing of their own."""

from inspections.views import SayView
from safety.readable import DetailView, ListView


class ListDoor(ListView, SayView):
    """GET a page; POST says `<collection>.create`."""


class DetailDoor(DetailView, SayView):
    """GET one document; PATCH says `<collection>.patch`."""
