"""Every address of the product; apps are named as strings."""

from django.urls import include, path

urlpatterns = [
    path("api/v1/", include("safety.reading_urls")),
    path("api/v1/", include("inspections.reading_urls")),
    path("api/v1/", include("sync.urls")),
    path("api/v1/", include("inspections.urls")),  # last: its addresses take any collection
]
handler404 = "safety.handlers.page_not_found"
handler500 = "safety.handlers.server_error"
