"""Values as pickles, in the format of django-redis' ``PickleSerializer``."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from typing import Any

from django.core.exceptions import ImproperlyConfigured


class PickleSerializer:
    """
    What ``OPTIONS["SERIALIZER"]`` is by default. ``PICKLE_VERSION`` among the options is the protocol.

    Raises ``ImproperlyConfigured`` for a protocol that this Python does not have.
    """

    def __init__(self, options: Mapping[str, Any]) -> None:
        protocol = options.get("PICKLE_VERSION", pickle.DEFAULT_PROTOCOL)
        try:
            self.protocol = int(protocol)
        except (TypeError, ValueError) as error:
            raise ImproperlyConfigured('OPTIONS["PICKLE_VERSION"] must be a whole number.') from error
        if self.protocol > pickle.HIGHEST_PROTOCOL:
            most = pickle.HIGHEST_PROTOCOL
            raise ImproperlyConfigured(f"PICKLE_VERSION can't be higher than {most}, the highest of this Python.")

    def dumps(self, value: Any) -> bytes:
        return pickle.dumps(value, self.protocol)

    def loads(self, value: bytes) -> Any:
        return pickle.loads(value)
