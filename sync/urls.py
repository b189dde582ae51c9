"""Addresses of the road."""

from django.urls import path

from sync.backlog_views import BacklogView, HoldingsView
from sync.rescue_views import HandleView, ImportView, OrphansView, OrphanView, SetAsideView
from sync.views import PullView, PushView

urlpatterns = [
    path("sync/pull", PullView.as_view()),
    path("sync/push", PushView.as_view()),
    path("sync/backlog", BacklogView.as_view()),
    path("sync/quarantine-report", SetAsideView.as_view()),
    path("sync/import", ImportView.as_view()),
    path("sync/orphans", OrphansView.as_view()),
    path("sync/orphans/<uuid:about>", OrphanView.as_view()),
    path("sync/orphans/<uuid:about>/handle", HandleView.as_view()),
    path("devices/<uuid:device_id>/holdings", HoldingsView.as_view()),
]
