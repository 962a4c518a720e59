"""Two pages: one value and its counters seen over each route, and many reads awaited together."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods

from django_upstash.ratelimit.web import ratelimit
from example_project.pages.forms import NoteForm
from example_project.pages.sides import READS, make_sides


@require_http_methods(["GET", "HEAD", "POST"])
def home(request: HttpRequest) -> HttpResponse:
    """Show what each route reads; a POST writes the note over the route whose button was pressed."""
    form = NoteForm(request.POST or None)
    sides = make_sides()
    if form.is_valid():
        (chosen,) = (side for side in sides if side.alias == form.cleaned_data["over"])
        with chosen.reporting():
            chosen.write(form.cleaned_data["text"])
            return redirect("home")
    for side in sides:
        with side.reporting():
            side.count_visit()
    for side in sides:
        if not side.error:
            with side.reporting():
                side.read(sides)
    return render(request, "pages/home.html", {"form": form, "sides": sides})


@require_GET
async def gathered(request: HttpRequest) -> HttpResponse:
    """Show how long the same reads take one by one, and awaited together."""
    sides = make_sides()
    for side in sides:
        with side.reporting():
            await side.time_reads()
    return render(request, "pages/gathered.html", {"reads": READS, "sides": sides})


@require_GET
@ratelimit("5/10s", scope="ping")
async def ping(request: HttpRequest) -> HttpResponse:
    """Answer five times in ten seconds."""
    return HttpResponse("pong", content_type="text/plain")
