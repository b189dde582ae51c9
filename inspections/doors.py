"""Addresses that are read and spoken to alike: GET shows, other methods say a verb. Nothing of their own."""

from inspections.views import SayView
from safety.readable import DetailView, ListView


class ListDoor(ListView, SayView):
    """GET a page; POST says `<collection>.create`."""

    http_method_names = ["get", "head", "post"]


class DetailDoor(DetailView, SayView):
    """GET one document; PATCH says `<collection>.patch`, DELETE `<collection>.delete`."""

    http_method_names = ["get", "head", "patch", "delete"]
