"""Addresses for signing in, under /api/v1/auth/."""

from django.urls import path

from safety import views

urlpatterns = [
    path("login", views.Login.as_view(), name="auth-login"),
    path("logout", views.Logout.as_view(), name="auth-logout"),
    path("me", views.MeView.as_view(), name="auth-me"),
]
