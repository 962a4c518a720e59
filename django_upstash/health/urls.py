"""``live/`` and ``ready/``, for ``include()`` under WSGI."""

from __future__ import annotations

from django.urls import path

from django_upstash.health import views

app_name = "health"
urlpatterns = [path("live/", views.liveness, name="live"), path("ready/", views.readiness, name="ready")]
