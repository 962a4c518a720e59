"""The right to so many open connections, which nobody can lose count of."""

from __future__ import annotations

from weakref import ref


class _Token:
    __slots__ = ("__weakref__",)


class Place:
    """The right to one open wire, which ends with ``free``, or where an exception makes its holder let go of it."""

    __slots__ = ("_token", "home")

    def __init__(self, token: _Token, home: object) -> None:
        self._token: _Token | None = token
        self.home = home  # what ``Places.home`` was when the place was taken

    def free(self) -> None:
        # The holder itself may live on, in the traceback of an exception.
        self._token = None


class Places:
    """The places that are taken: no number, which an interrupted thread could leave wrong, but the tokens that live."""

    def __init__(self, size: int) -> None:
        self._size = size
        self.reset()

    def reset(self) -> None:
        """Forget the places taken so far: those who hold them no longer belong here."""
        self._taken: dict[ref[_Token], None] = {}
        self.home = object()

    def __len__(self) -> int:
        return len(self._taken)

    def take(self) -> Place | None:
        """Return a place, or None when all are taken."""
        token = _Token()
        # The callback is a C function: it runs whole, wherever the last reference to the token is dropped.
        mine = ref(token, self._taken.pop)
        self._taken[mine] = None
        # Of threads that come at the same time, those have a place whose tokens are among the first.
        if len(self._taken) <= self._size or mine in list(self._taken)[: self._size]:
            return Place(token, self.home)
        return None
