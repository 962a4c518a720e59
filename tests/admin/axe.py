"""axe-core, which finds what keeps people from using a page: fetched by npm once, and checked against its digest."""

from __future__ import annotations

import base64
import hashlib
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Any

VERSION = "4.14.1"
SHA512 = "FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NPjCKg2rhu5qb2S4r76ASyFNNtuFooJpZe37OgudVGtQ=="
ARCHIVE = Path(__file__).resolve().parents[2] / "build" / f"axe-core-{VERSION}.tgz"
_RUN = "async (part) => (await axe.run(part, {resultTypes: ['violations']})).violations"


class AxeMissing(RuntimeError):
    """axe-core is neither here nor to be had."""


def source() -> str:
    """Return the script; raise ``AxeMissing`` where it is not here and npm cannot fetch it."""
    if not ARCHIVE.exists():
        _fetch()
    digest = base64.b64encode(hashlib.sha512(ARCHIVE.read_bytes()).digest()).decode()
    if digest != SHA512:
        raise AxeMissing(f"{ARCHIVE} is not axe-core {VERSION}; remove it.")
    with tarfile.open(ARCHIVE) as archive:
        member = archive.extractfile("package/axe.min.js")
        assert member is not None
        return member.read().decode()


def _fetch() -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise AxeMissing("npm is not on PATH, and axe-core comes from there; apt-get install npm.")
    ARCHIVE.parent.mkdir(exist_ok=True)
    command = [npm, "pack", f"axe-core@{VERSION}", "--pack-destination", str(ARCHIVE.parent)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ARCHIVE.parent, timeout=120)
    if ran.returncode:
        raise AxeMissing(f"npm cannot fetch axe-core: {ran.stderr.strip()[-300:]}")


def serious_violations(page: Any, part: str) -> list[str]:
    """Return what axe-core finds wrong, and worse than moderate, in the part of a page that a selector names."""
    page.evaluate(source())
    found = page.evaluate(_RUN, part)
    return [
        f"{one['id']}: {one['help']}: {[node['html'][:200] for node in one['nodes'][:3]]}"
        for one in found
        if one["impact"] in ("serious", "critical")
    ]
