"""The admin as Django's apps know it: with a site of ours."""

from django.contrib.admin.apps import AdminConfig


class Config(AdminConfig):
    default_site = "safety.admin_site.Site"
