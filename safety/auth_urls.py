"""Addresses for signing in, under /api/v1/auth/."""

from django.urls import path

from safety import views

urlpatterns = [
    path("login", views.Login.as_view(), name="auth-login"),
    path("logout", views.Logout.as_view(), name="auth-logout"),
    path("me", views.MeView.as_view(), name="auth-me"),
    path("devices", views.Devices.as_view(), name="auth-devices"),
    path("devices/<uuid:device_id>/rename", views.DeviceRename.as_view(), name="auth-device-rename"),
    path("devices/<uuid:device_id>/revoke", views.DeviceRevoke.as_view(), name="auth-device-revoke"),
]
