"""The admin's front: its names, who may come in (administrators, by `Person.is_staff`), and the site's own form."""

from django.contrib.admin import AdminSite
from django.contrib.admin.forms import AdminPasswordChangeForm
from django.contrib.auth import update_session_auth_hash
from django.contrib.auth.hashers import make_password
from django.contrib.auth.views import PasswordChangeView
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse_lazy

from safety.changes import unit
from safety.models import Person


class OwnPassword(PasswordChangeView):
    """One's own password; hashed first, then written through a unit of work instead of by the form."""

    form_class = AdminPasswordChangeForm
    success_url = reverse_lazy("admin:password_change_done")
    template_name = "registration/password_change_form.html"

    def form_valid(self, form: AdminPasswordChangeForm) -> HttpResponse:
        hashed = make_password(form.cleaned_data["new_password1"])
        with unit(actor=self.request.user.pk, source="admin") as work:
            person = Person.objects.select_for_update().get(pk=self.request.user.pk)
            person.password = hashed
            work.say(person, "person.changed", body=None, urgency=None)
        update_session_auth_hash(self.request, person)
        return HttpResponseRedirect(self.get_success_url())


class Site(AdminSite):
    site_header = site_title = "校安巡检 管理"
    index_title = "单位、人员、值班与检查表"
    site_url = "/"
    enable_nav_sidebar = False
    login_template = "safety/login.html"

    def get_app_list(self, request: HttpRequest, app_label: str | None = None) -> list[dict]:
        """In the order of registration, which is that of use; Django's own is that of the alphabet."""
        place = {model: at for at, model in enumerate(self._registry)}
        apps = super().get_app_list(request, app_label)
        for app in apps:
            app["models"].sort(key=lambda each: place[each["model"]])
        return sorted(apps, key=lambda app: place[app["models"][0]["model"]])

    def password_change(self, request: HttpRequest, extra_context: dict | None = None) -> HttpResponse:
        request.current_app = self.name
        return OwnPassword.as_view(extra_context={**self.each_context(request), **(extra_context or {})})(request)
