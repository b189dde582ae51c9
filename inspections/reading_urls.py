"""Addresses of the reading doors of evidence and cure, under /api/v1/; verbs are said at the same ones."""

from django.urls import path, re_path

from inspections.doors import DetailDoor, ListDoor
from inspections.reading import COLLECTIONS, HistoryView, TemplateTextView
from safety.readable import urls_of

urlpatterns = [
    *urls_of(COLLECTIONS, lists=ListDoor, details=DetailDoor),
    path("rectifications/<uuid:doc_id>/history", HistoryView.as_view()),
    re_path(r"^ref/templates/(?P<sha256>[0-9a-f]{64})\.json$", TemplateTextView.as_view()),
]
