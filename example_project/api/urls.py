"""The URLs of the API, which needs Django REST framework."""

from __future__ import annotations

from django.urls import path

from example_project.api import views

urlpatterns = [
    path("<str:alias>/note/", views.Note.as_view(), name="note"),
    path("<str:alias>/export/", views.Export.as_view(), name="export"),
    path("<str:alias>/login/", views.Login.as_view(), name="api login"),
]
