"""The URLs of the example site."""

from __future__ import annotations

from importlib.util import find_spec

from django.contrib import admin
from django.contrib.auth.views import LoginView, LogoutView
from django.urls import include, path

from example_project.pages import accounts, cached, views

urlpatterns = [
    path("", views.home, name="home"),
    path("async/", views.gathered, name="gathered"),
    path("cached/<alias>/page/", cached.page, name="cached-page"),
    path("cached/<alias>/fragment/", cached.fragment, name="cached-fragment"),
    path("login/", LoginView.as_view(template_name="pages/login.html"), name="login"),
    path("logout/", LogoutView.as_view(), name="logout"),
    path("ping/", views.ping, name="ping"),
    path("devices/", accounts.devices, name="devices"),
    path("admin/", admin.site.urls),
]
if find_spec("rest_framework"):
    urlpatterns.append(path("api/", include("example_project.api.urls")))
