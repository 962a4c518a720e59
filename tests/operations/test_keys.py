"""Patterns match what they say, as a real server reads them."""

from __future__ import annotations

import pytest
import redis
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from django_upstash.operations.keys import check_encodable, glob_escape
from tests.servers import Server

pytestmark = pytest.mark.matrix

texts = st.text(st.sampled_from("ab*?[]^-\\é") | st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)


@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(text=texts, other=texts)
@example(text="[^a]", other="b")
@example(text="a*", other="ab")
@example(text="a\\", other="a\\*")
def test_glob_escape__matches_the_text_alone(valkey: Server, text: str, other: str) -> None:
    valkey.call("FLUSHALL")
    valkey.call("MSET", text, "", other, "", text + other, "")
    assert valkey.call("KEYS", glob_escape(text)) == [text.encode()]


def test_check_encodable() -> None:
    check_encodable("any text, \U0001f600 and \x00")
    with pytest.raises(redis.DataError, match="lone surrogate"):
        check_encodable("a\ud800")
