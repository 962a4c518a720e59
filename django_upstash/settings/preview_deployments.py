"""Whether an environment is a preview, of a branch or a pull request, and a name that tells it from the others."""

from __future__ import annotations

import re
from collections.abc import Mapping
from hashlib import blake2b

VARIABLE = "UPSTASH_KEY_PREFIX"
LONGEST = 40
_DIGEST_BYTES = 4


def key_prefix(environ: Mapping[str, str]) -> str:
    """
    Return ``UPSTASH_KEY_PREFIX``: the variable of that name, or one made of the preview's name; "" in production.

    What is made is of a-z, 0-9 and hyphens, 40 at most. Where that changes the name, it ends in a digest of the name,
    so that two branches never share a prefix.
    """
    given = _get(environ, VARIABLE)
    return given or _slug("-".join(part for part in _parts(environ) if part))


def is_preview(environ: Mapping[str, str]) -> bool:
    """Tell whether Vercel, Heroku or Render says that this is the deployment of a branch or a pull request."""
    is_vercel = _get(environ, "VERCEL_ENV").lower() == "preview"
    return is_vercel or bool(_get(environ, "HEROKU_PR_NUMBER")) or _is_pull_request_of_render(environ)


def _parts(environ: Mapping[str, str]) -> tuple[str, ...]:
    vercel = _get(environ, "VERCEL_ENV").lower()
    if vercel in ("preview", "development"):
        # An environment that the project has made is a preview by VERCEL_ENV.
        return _get(environ, "VERCEL_TARGET_ENV") or vercel, _get(environ, "VERCEL_GIT_COMMIT_REF")
    if number := _get(environ, "HEROKU_PR_NUMBER"):
        return "preview", _get(environ, "HEROKU_APP_NAME") or f"pr-{number}"
    if _is_pull_request_of_render(environ):
        return "preview", _get(environ, "RENDER_SERVICE_NAME") or _get(environ, "RENDER_GIT_BRANCH")
    return ()


def _is_pull_request_of_render(environ: Mapping[str, str]) -> bool:
    return bool(_get(environ, "RENDER")) and _get(environ, "IS_PULL_REQUEST").lower() == "true"


def _slug(name: str) -> str:
    slug = re.sub(r"[^a-z0-9-]+", "-", name.lower())
    if slug == name and len(slug) <= LONGEST:
        return slug
    # A variable that is no UTF-8 reaches Python with lone surrogates.
    digest = blake2b(name.encode("utf-8", "surrogatepass"), digest_size=_DIGEST_BYTES).hexdigest()
    return f"{slug[: LONGEST - 1 - len(digest)].rstrip('-')}-{digest}"


def _get(environ: Mapping[str, str], name: str) -> str:
    return environ.get(name, "").strip()
