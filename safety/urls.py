"""Every address of the product; apps are named as strings."""

urlpatterns: list = []
handler404 = "safety.handlers.page_not_found"
handler500 = "safety.handlers.server_error"
