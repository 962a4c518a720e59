"""Makes the picture in README.md and docs/admin.md anew: ``python -m tests.admin.screenshot``."""

from __future__ import annotations

import os
import random
import tempfile
import time
from pathlib import Path

import django

from django_upstash.dev_server import LocalServer
from tests.admin.browsing import ROOT, Visit, running_browser, running_site
from tests.servers import Server, start_valkey

PICTURE = ROOT / "docs" / "images" / "ratelimit-admin.png"
SIZE = {"width": 1280, "height": 900}
_FIVE_MINUTES = 300


def main() -> None:
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.django_settings"
    django.setup()
    with (
        start_valkey() as server,
        LocalServer(server.url) as rest,
        tempfile.TemporaryDirectory() as folder,
        running_site(server, rest, Path(folder), SITE_REFRESH="5") as site,
        running_browser() as browser,
    ):
        fill(server)
        page = Visit(browser, site, viewport=SIZE, device_scale_factor=1).open_list("rest", "&o=used")
        PICTURE.parent.mkdir(exist_ok=True)
        page.screenshot(path=PICTURE)
    print(f"{PICTURE}: {PICTURE.stat().st_size:,} bytes")


def fill(server: Server) -> None:
    """Let clients have come, and the hour before have been one of a busy site."""
    from django.conf import settings

    from django_upstash.ratelimit import RateLimiter
    from tests.admin.site_limiters import LOGIN, POLICIES

    settings.UPSTASH = {"default": {"URL": server.url}}
    settings.UPSTASH_RATELIMIT = {"TIMEOUT": 5}
    limiter, logins, chance = RateLimiter(POLICIES), RateLimiter(LOGIN), random.Random(7)
    clients = ["user:1", "user:2", *(f"user:{chance.randint(100, 9000)}" for _ in range(20)), "203.0.113.7"]
    for place, client in enumerate([*clients, *(f"198.51.100.{number}" for number in range(2, 40))]):
        for _ in range(chance.randint(1, 5 if place < 8 else 2)):
            limiter.hit(client)
    for client, attempts in (("203.0.113.7", 6), ("user:2", 4), ("198.51.100.23", 2)):
        for _ in range(attempts):
            logins.hit(client)
    limiter.block("203.0.113.0/24", 86_400)
    now = int(time.time()) // _FIVE_MINUTES * _FIVE_MINUTES
    for start in range(now - 3600, now + 1, _FIVE_MINUTES):
        counted = f"allowed/sustained {chance.randint(200, 420)}\ndenied/burst {chance.randint(5, 90)}\n"
        server.call("SET", f"ratelimit-stats:default:{start}", counted, "EX", "3600")


if __name__ == "__main__":
    main()
