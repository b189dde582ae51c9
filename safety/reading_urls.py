"""Addresses of the ground's reading doors, under /api/v1/."""

from django.urls import path

from safety.readable import urls_of
from safety.reading import COLLECTIONS, ChainView, ChangesView

urlpatterns = [
    *urls_of(COLLECTIONS),
    path("changes/<slug:collection>/<uuid:doc_id>", ChangesView.as_view()),
    path("chains/<uuid:organisation>", ChainView.as_view()),
]
