"""Addresses of what is said about visits and cure. `<collection>` is any word of VERBS; what it lacks is a 404."""

from django.urls import path, re_path

from inspections.views import BlobView, SayView, ShownCopyView

urlpatterns = [
    re_path(r"^blobs/(?P<sha256>[0-9a-f]{64})$", BlobView.as_view()),
    path("photos/<uuid:photo_id>/<str:name>.jpg", ShownCopyView.as_view()),
    path("<slug:collection>", SayView.as_view(http_method_names=["post"])),
    path("<slug:collection>/<uuid:doc_id>", SayView.as_view(http_method_names=["patch", "delete"])),
    path("<slug:collection>/<uuid:doc_id>/<slug:action>", SayView.as_view(http_method_names=["post"])),
]
