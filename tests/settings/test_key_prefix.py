"""The prefix of an environment's keys: from the environment's variables, and what the checks say of it."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.core import checks as django_checks
from django.test import override_settings

from django_upstash.settings.environment import key_prefix_from_env
from tests.settings.test_checks import DEFAULT, cache, run


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, ""),
        ({"VERCEL": "1", "VERCEL_ENV": "production", "VERCEL_GIT_COMMIT_REF": "main"}, ""),
        ({"VERCEL_ENV": "preview", "VERCEL_GIT_COMMIT_REF": "my-branch"}, "preview-my-branch"),
        ({"VERCEL_ENV": "preview", "VERCEL_TARGET_ENV": "qa", "VERCEL_GIT_COMMIT_REF": "main"}, "qa-main"),
        ({"VERCEL_ENV": "preview"}, "preview"),
        ({"VERCEL_ENV": "development"}, "development"),
        ({"HEROKU_APP_NAME": "shop"}, ""),
        ({"HEROKU_APP_NAME": "shop-pr-7", "HEROKU_PR_NUMBER": "7"}, "preview-shop-pr-7"),
        ({"HEROKU_PR_NUMBER": "7"}, "preview-pr-7"),
        ({"RENDER": "true", "IS_PULL_REQUEST": "true", "RENDER_SERVICE_NAME": "shop-pr-7"}, "preview-shop-pr-7"),
        ({"RENDER": "true", "IS_PULL_REQUEST": "false", "RENDER_SERVICE_NAME": "shop"}, ""),
        ({"FLY_APP_NAME": "shop", "K_SERVICE": "shop"}, ""),
        ({"UPSTASH_KEY_PREFIX": " staging ", "VERCEL_ENV": "preview"}, "staging"),
    ],
)
def test_key_prefix_from_env(environ: dict[str, str], expected: str) -> None:
    assert key_prefix_from_env(environ) == expected


def test_key_prefix_from_env__tells_branches_apart() -> None:
    branches = [
        "a/b",
        "a-b",
        "A-b",
        "a_b",
        "a:b",
        "x" * 80,
        "x" * 81,
        "é",
        "è",
        "日本",
        "\udc80",
        "-",
        "a b",
        "x" * 33,
        "*",
    ]
    made = [key_prefix_from_env({"VERCEL_ENV": "preview", "VERCEL_GIT_COMMIT_REF": branch}) for branch in branches]
    assert len(set(made)) == len(branches)
    assert all(re.fullmatch(r"[a-z0-9-]{1,40}", prefix) for prefix in made)
    assert all(prefix.startswith("preview-") for prefix in made)


@pytest.mark.parametrize("prefix", [7, None, "a:b", "x" * 65, "ratelimit"])
def test_check_key_prefix__finds(prefix: Any) -> None:
    with override_settings(UPSTASH_KEY_PREFIX=prefix):
        (found,) = run(DEFAULT, {})
    assert (found.id, found.level) == ("django_upstash.E060", django_checks.ERROR)
    assert found.hint


@pytest.mark.parametrize(
    "environ", [{"VERCEL_ENV": "preview"}, {"HEROKU_PR_NUMBER": "7"}, {"RENDER": "true", "IS_PULL_REQUEST": "true"}]
)
@pytest.mark.parametrize("deploy", [False, True])
def test_check_key_prefix__finds_a_preview_without(
    monkeypatch: pytest.MonkeyPatch, environ: dict[str, str], deploy: bool
) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    (found,) = run(DEFAULT, {}, deploy=deploy)
    assert (found.id, found.level) == ("django_upstash.W010", django_checks.WARNING)
    assert "key_prefix_from_env()" in str(found.hint)
    assert run({}, {}) == []
    assert run({"default": {"URL": "embedded://", "ALLOW_EMBEDDED": True}}, {}) == []
    with override_settings(UPSTASH_KEY_PREFIX="preview-a"):
        assert run(DEFAULT, {"default": cache(KEY_PREFIX="")}, deploy=deploy) == []
    monkeypatch.setenv("VERCEL_ENV", "production")
    monkeypatch.delenv("HEROKU_PR_NUMBER", raising=False)
    monkeypatch.delenv("IS_PULL_REQUEST", raising=False)
    assert run(DEFAULT, {}, deploy=deploy) == []
