"""Every address of the product; apps are named as strings."""

from django.contrib import admin
from django.contrib.auth.views import LogoutView
from django.urls import include, path

from safety.docs import docs
from safety.home import home
from safety.openapi import schema_json
from safety.views import DeskLogin

urlpatterns = [
    path("", home, name="home"),
    path("docs/", docs, name="docs"),
    path("admin/", admin.site.urls),
    path("phones/", include("sync.page_urls")),
    path("login/", DeskLogin.as_view(), name="login"),
    path("logout/", LogoutView.as_view(), name="logout"),
    path("api/v1/schema.json", schema_json, name="schema"),
    path("api/v1/auth/", include("safety.auth_urls")),
    path("api/v1/", include("safety.device_urls")),
    path("api/v1/", include("safety.reading_urls")),
    path("api/v1/", include("inspections.reading_urls")),
    path("api/v1/", include("sync.urls")),
    path("api/v1/", include("inspections.urls")),  # last: its addresses take any collection
]
handler404 = "safety.handlers.page_not_found"
handler500 = "safety.handlers.server_error"
