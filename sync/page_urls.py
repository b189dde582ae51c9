"""Addresses of the pages about phones, under /phones/."""

from django.urls import path

from sync import pages

urlpatterns = [
    path("", pages.phones, name="phones"),
    path("import/", pages.bring_in, name="import"),
    path("left/", pages.left, name="left"),
    path("left/<uuid:about>/", pages.left_one, name="left-one"),
    path("<uuid:device_id>/", pages.phone, name="phone"),
]
