"""Addresses of phones, under /api/v1/. What lies on one is the road's to say (sync/urls.py)."""

from django.urls import path

from safety import device_views as views

urlpatterns = [
    path("devices", views.Devices.as_view(), name="devices"),
    path("devices/wiped", views.DeviceWiped.as_view(), name="device-wiped"),
    path("devices/<uuid:device_id>/rename", views.DeviceRename.as_view(), name="device-rename"),
    path("devices/<uuid:device_id>/revoke", views.DeviceRevoke.as_view(), name="device-revoke"),
    path("devices/<uuid:device_id>/lose", views.DeviceLose.as_view(), name="device-lose"),
    path("devices/<uuid:device_id>/wipe", views.DeviceWipe.as_view(), name="device-wipe"),
]
