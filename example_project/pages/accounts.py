"""Logging in and out, and the user's other devices."""

from __future__ import annotations

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods

from django_upstash.sessions import log_out, log_out_everywhere, sessions_for


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def devices(request: HttpRequest) -> HttpResponse:
    """Show where the user is logged in; a POST ends one of these sessions, or all but this one."""
    here = request.session.session_key
    if request.method == "POST":
        if "everywhere" in request.POST:
            log_out_everywhere(request.user, except_key=here)
        else:
            log_out(request.user, request.POST.get("session", ""))
        return redirect("devices")
    found = [(session, session.is_session(here)) for session in sessions_for(request.user)]
    return render(request, "pages/devices.html", {"devices": found})
