"""Whatever is typed into an admin page's address or form, no page fails, and what is shown is text."""

from __future__ import annotations

import html as html_module
import re
from typing import Any

import pytest
from django.contrib.admin import site
from django.test import Client
from django.utils.http import urlencode

from django_upstash.admin.actions import CONFIRMED
from django_upstash.admin.model_admins import DeferredAdmin
from tests import hostile
from tests.admin.conftest import LIST

pytestmark = pytest.mark.django_db
PAGES = {
    "counters": (LIST, ("q", "scope", "tenant", "identity", "state", "p", "o", "alias", "live", "exact")),
    "breakers": ("/admin/django_upstash/circuitbreakerstate/", ("q", "state", "alias", "p")),
    "tenants": ("/admin/django_upstash/tenantusage/", ("q", "period", "p", "alias")),
}
TOO_LONG = ["huge", "huge_lines"]  # for an address
# Control characters but for tab, line feed and carriage return, and what reorders or separates lines.
CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


@pytest.fixture
def staff(log_in: Any) -> Client:
    return log_in(is_superuser=True)  # type: ignore[no-any-return]


def seen(client: Client, url: str, text: str) -> None:
    response = client.get(url)
    assert response.status_code in (200, 302, 400, 404)
    page = re.sub(r' value="[^"]*"', "", response.content.decode())  # a box holds what was typed into it
    assert html_module.escape(text) == text or text not in page
    assert not CONTROL.search(page)


def quoted(name: str, text: str) -> str:
    return urlencode({name: text.encode("utf-8", "surrogatepass")})


@pytest.mark.default_cases(9)
@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("text", hostile.texts(TOO_LONG))
def test_parameters(staff: Client, page: str, text: str) -> None:
    url, names = PAGES[page]
    for name in names:
        seen(staff, f"{url}?{quoted(name, text)}", text)


@pytest.mark.default_cases(9)
@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("text", hostile.texts(TOO_LONG, ["empty"]))
def test_paths(staff: Client, page: str, text: str) -> None:
    url, _ = PAGES[page]
    part = quoted("", text)[1:]
    for path in (f"{url}{part}/", f"{url}{part}/change/", f"{url}do/{part}/"):
        seen(staff, path, text)


@pytest.mark.parametrize("page", PAGES)
def test_bytes_that_are_no_text(staff: Client, page: str) -> None:
    url, names = PAGES[page]
    for given in hostile.BYTES.values():
        for name in names:
            seen(staff, f"{url}?{urlencode({name: given})}", "\0")


def forms() -> list[tuple[str, list[str]]]:
    """Return the address of each action of each page, and the fields of its form."""
    found = []
    for model, registered in site._registry.items():
        if isinstance(registered, DeferredAdmin):
            base = f"/admin/{model._meta.app_label}/{model._meta.model_name}/do/"
            for name, action in registered.page.actions_by_name.items():  # type: ignore[attr-defined]
                found.append((f"{base}{name}/", list(action.form_class.base_fields)))
    return found


def test_forms__are_all_typed_into() -> None:
    assert len(forms()) >= 7


@pytest.mark.default_cases(9)
@pytest.mark.parametrize("confirmed", [False, True])
@pytest.mark.parametrize("text", hostile.texts(["huge_lines"]))
def test_forms(staff: Client, text: str, confirmed: bool) -> None:
    """In all fields, and where the form came from; no value leaves its attribute."""
    typed = text.encode("utf-8", "surrogatepass")
    for url, fields in forms():
        given = dict.fromkeys((*fields, "back", "alias"), typed) | ({CONFIRMED: "1"} if confirmed else {})
        response = staff.post(url, urlencode(given), "application/x-www-form-urlencoded", follow=True)
        assert response.status_code in (200, 400, 404), url
        page = response.content.decode()
        assert html_module.escape(text) == text or text not in page
        assert not CONTROL.search(re.sub(r' value="[^"]*"', "", page))
