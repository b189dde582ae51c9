"""Addresses of the road."""

from django.urls import path

from sync.views import PullView, PushView

urlpatterns = [
    path("sync/pull", PullView.as_view()),
    path("sync/push", PushView.as_view()),
]
