"""``live/`` and ``ready/``, for ``include()`` under ASGI: they wait for no thread that other views share."""

from __future__ import annotations

from django.urls import path

from django_upstash.health import views

app_name = "health"
urlpatterns = [path("live/", views.aliveness, name="live"), path("ready/", views.areadiness, name="ready")]
