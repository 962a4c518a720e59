"""No log line of the package can be forged: what others bring into it is escaped, by every logger."""

from __future__ import annotations

import ast
import io
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.cache import caches
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.test import RequestFactory

import django_upstash
from django_upstash.connections import connections
from django_upstash.idempotency import idempotent
from django_upstash.locks import Lock
from django_upstash.log import LONGEST, escaped, get_logger
from tests import hostile
from tests.sources import syntax_tree

PACKAGE = Path(django_upstash.__file__).parent
LEVELS = {"debug", "info", "warning", "error", "exception", "critical", "log"}


@pytest.fixture
def lines() -> Iterator[Any]:
    """Yield a function that returns the lines written so far, by a handler of a strict UTF-8 file."""
    stream = io.BytesIO()
    handler = logging.StreamHandler(io.TextIOWrapper(stream, "utf-8", write_through=True, newline=""))
    handler.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
    logger = logging.getLogger("django_upstash")
    logger.addHandler(handler)
    yield lambda: stream.getvalue().decode().split("\n")[:-1]
    logger.removeHandler(handler)


def logger_calls() -> Iterator[tuple[str, ast.Call]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(syntax_tree(path)):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in LEVELS:
                owner = ast.unparse(node.func.value)
                if owner.split(".")[-1].endswith("logger"):
                    yield f"{path.name}:{node.lineno}", node


def test_loggers__are_made_in_one_place() -> None:
    made = {path.name for path in PACKAGE.rglob("*.py") if "logging.getLogger(" in path.read_text(encoding="utf-8")}
    assert made == {"log.py"}


def test_messages__are_constants_so_that_all_else_is_an_argument() -> None:
    calls = list(logger_calls())
    assert len(calls) > 50
    for where, call in calls:
        if ast.unparse(call.func) == "self.logger.log":  # of the adapter itself
            continue
        message = call.args[1 if call.func.attr == "log" else 0]  # type: ignore[attr-defined]
        assert isinstance(message, ast.Constant), where


@pytest.mark.parametrize("text", hostile.texts())
@pytest.mark.parametrize("template", ["%s", "%r"])
def test_argument__is_one_line_of_printable_text(lines: Any, text: str, template: str) -> None:
    values: list[object] = [text, ValueError(text), [text], {text}, (text, 1)]
    for value in values:
        get_logger("django_upstash.test").warning(f"began {template} ended", value)
    assert len(lines()) == len(values)
    for line in lines():
        assert line.startswith("WARNING began ")
        assert line.endswith(" ended")
        assert line.isprintable()
        assert len(line) < 10 * LONGEST


def test_argument__that_is_printable_stays_as_it_is(lines: Any) -> None:
    get_logger("django_upstash.test").warning("%s %d %.1f %s", "Grüße \\ 'it' 100 %", 3, 0.25, None)
    get_logger("django_upstash.test").warning("%(name)s", {"name": "a\nb"})
    assert lines() == ["WARNING Grüße \\ 'it' 100 % 3 0.2 None", "WARNING a\\nb"]
    assert escaped("a\nb\x1b\u2028\u202e\ud800\x00") == "a\\nb\\x1b\\u2028\\u202e\\ud800\\x00"


def test_record__names_the_caller_and_keeps_its_template(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", "django_upstash.test"):
        get_logger("django_upstash.test").info("text %s", "a\nb", extra={"server": "c\nd"})
        get_logger("django_upstash.test").debug("%s", Unprintable())  # is not even shown
    (record,) = caplog.records
    assert (record.filename, record.funcName) == ("test_log.py", "test_record__names_the_caller_and_keeps_its_template")
    assert (record.msg, record.getMessage(), vars(record)["server"]) == ("text %s", "text a\\nb", "c\\nd")


class Unprintable:
    def __str__(self) -> str:
        raise AssertionError


@pytest.mark.usefixtures("upstash")
@pytest.mark.parametrize("text", hostile.texts(("empty",), hostile.SURROGATES))
def test_path__of_a_request(lines: Any, settings: Any, text: str) -> None:
    settings.UPSTASH_IDEMPOTENCY = {"ALIAS": "native"}

    @idempotent
    def stream(request: HttpRequest) -> Any:
        return StreamingHttpResponse([b"x"])

    @idempotent
    def lost(request: HttpRequest) -> HttpResponse:
        connections["native"].redis.flushdb()
        return HttpResponse()

    for view in (stream, lost):
        request = RequestFactory().post("/", headers={"Idempotency-Key": '"k"'})
        request.path = f"/{view.__name__}/{text}"
        view(request)
    assert [line.isprintable() for line in lines()] == [True, True]


def lose(lock: str) -> None:
    with Lock(lock, alias="native"):
        connections["native"].redis.flushdb()
        raise ZeroDivisionError


@pytest.mark.usefixtures("upstash")
@pytest.mark.filterwarnings("ignore::django.core.cache.CacheKeyWarning")
@pytest.mark.parametrize("text", hostile.texts(hostile.SHAPES, hostile.SURROGATES))
def test_names__of_keys_and_locks(lines: Any, settings: Any, text: str) -> None:
    options = {"MAX_VALUE_SIZE": 10, "ON_OVERSIZE": "skip"}
    backend = "django_upstash.cache.UpstashCache"
    settings.CACHES = {"default": {"BACKEND": backend, "LOCATION": "native", "OPTIONS": options}}
    caches["default"].set(text, "x" * 100)
    with pytest.raises(ZeroDivisionError):
        lose(text)
    assert len(lines()) == 2
    assert all(line.isprintable() for line in lines())
