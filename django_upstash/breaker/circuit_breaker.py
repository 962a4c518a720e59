"""The circuit breaker: stops calling what does not answer, and finds out when it does again."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Generator
from copy import deepcopy
from functools import wraps
from secrets import token_hex
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar

from django_upstash import callbacks
from django_upstash.breaker import operations, settings
from django_upstash.breaker.calls import CallEntry, NotDoneYet, Scene, Tell, asked, pop, push
from django_upstash.breaker.circuit import Answer, CallOutcome, Circuit, Event, Permit, Stats
from django_upstash.breaker.operations import check_name
from django_upstash.breaker.registry import Link, link
from django_upstash.breaker.settings import BreakerOptions, breaker_setting
from django_upstash.breaker.signals import refused
from django_upstash.breaker.status import LOOK, RELEASED, Standing, State, Step, force, probe, settle
from django_upstash.callbacks import is_async, name_of
from django_upstash.exceptions import CircuitOpen
from django_upstash.operations import Operation
from django_upstash.operations.steps import Effect, Run, adrive, drive, twins

P = ParamSpec("P")
R = TypeVar("R")
Errors = type[BaseException] | tuple[type[BaseException], ...]
Fallback = Callable[[Exception], Any]


class CircuitBreaker:
    """
    Guards the calls of something that may fail, such as another company's service, for all processes of the site.

        stripe = CircuitBreaker("stripe", timeout=60)

        @stripe
        def charge(card): ...

        with stripe: ...
        async with stripe: ...
        stripe.call(charge, card)

    After failures in a row, or above a rate of failures, calls are refused by ``CircuitOpen`` for ``timeout`` seconds.
    Then ``probes`` of them at a time are let through, over all processes, until ``success_threshold`` have succeeded.

    ``included`` are the errors that count as failures, and ``excluded`` those among them that do not: they show that
    the other side answers. ``fallback`` is called with the error in the place of a call that was refused or has failed,
    by the decorator and by ``call``. The options are those of ``settings.UPSTASH_BREAKER`` in lower case, and go before
    them.

    Making one does no I/O and reads no settings. All of one name share one circuit; one object serves all threads and
    tasks. Raises ``ValueError`` for an invalid name.
    """

    def __init__(
        self,
        name: str,
        *,
        included: Errors = Exception,
        excluded: Errors = (),
        fallback: Fallback | None = None,
        **options: Any,
    ) -> None:
        check_name(name)
        self.name = name
        self._included = included
        self._excluded = excluded
        self._fallback = fallback
        self._overrides = options
        self._given: object = None
        self._known_options: BreakerOptions | None = None
        self._link: Link | None = None

    def __repr__(self) -> str:
        return f"<CircuitBreaker {self.name}>"

    # Guarding calls

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """
        Return the function that is guarded; raise ``TypeError`` for a generator, whose calls do nothing yet.

        What the function returns is awaited within the guard where it has to be, whatever kind of callable it is.
        """
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise TypeError(f"{name_of(function)} is a generator: guard what it does by `with` inside of it.")
        if is_async(function):

            @wraps(function)
            async def guarded_async(*args: P.args, **kwargs: P.kwargs) -> Any:
                return await self.acall(function, *args, **kwargs)

            return guarded_async  # type: ignore[return-value]

        @wraps(function)
        def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
            return self.call(function, *args, **kwargs)

        return guarded

    def call(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """
        Call a function, and return what it returns; or what the fallback does, where there is one.

        Where the function returns an awaitable, return a coroutine that awaits it within the guard.
        """
        try:
            with self:
                found = function(*args, **kwargs)
                if inspect.isawaitable(found):
                    raise NotDoneYet(found)
                return found
        except NotDoneYet as promise:
            return self._awaited(promise.awaitable)  # type: ignore[return-value]
        except Exception as error:
            if self._fallback is None or not self._is_fallen_back_on(error):
                raise
            fallen: R = callbacks.settle("fallback", self._fallback(error))
            return fallen

    async def acall(self, function: Callable[P, Any], *args: P.args, **kwargs: P.kwargs) -> Any:
        """``call``, awaited; the fallback may be async as well."""
        return await self._guarded(lambda: function(*args, **kwargs))

    async def _awaited(self, awaitable: Awaitable[R]) -> Any:
        try:
            return await self._guarded(lambda: awaitable)
        finally:
            if inspect.iscoroutine(awaitable):
                awaitable.close()  # no warning for one that was refused; one that has ended does not mind

    async def _guarded(self, call: Callable[[], Any]) -> Any:
        try:
            async with self:
                found = call()
                return await found if inspect.isawaitable(found) else found
        except Exception as error:
            if self._fallback is None or not self._is_fallen_back_on(error):
                raise
            fallen = self._fallback(error)
            return await fallen if inspect.isawaitable(fallen) else fallen

    def __enter__(self) -> Self:
        push(drive(self._enter()))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        drive(self._leave(pop(self), error))

    async def __aenter__(self) -> Self:
        push(await adrive(self._enter()))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await adrive(self._leave(pop(self), error))

    # What is known, and what is forced

    @property
    def options(self) -> BreakerOptions:
        """The options as they are now; raises ``ImproperlyConfigured`` for the first mistake."""
        given = breaker_setting()
        if self._known_options is None or given != self._given:
            self._known_options = settings.checked(given, self.name, self._overrides)
            self._given = deepcopy(given)
        return self._known_options

    @property
    def circuit(self) -> Circuit:
        """The circuit as this process knows it, without asking: its state, and when it asks again."""
        return self._scene(self.options).circuit

    @property
    def state(self) -> State:
        """The state as this process knows it, without asking."""
        return self.circuit.state

    @property
    def stats(self) -> Stats:
        """What this process has counted."""
        return self.circuit.stats

    def _read(self) -> Generator[Effect, Any, Standing]:
        """Ask the server the state of the circuit, in one command or two; raise ``UpstashError`` where it is away."""
        scene = self._scene(self.options)
        connection, circuit = scene.link.connection, scene.circuit
        generation = circuit.generation
        if connection is None:
            return circuit.decide_alone(LOOK)
        standing: Standing = yield Run(connection, operations.look(self.name))
        for event in circuit.take(standing, scene.options, generation, alone=False):
            yield Tell(CircuitBreaker, event)
        return standing

    def _force_open(self, seconds: float | None = None) -> Generator[Effect, Any, Standing]:
        """
        Refuse all calls, in all processes, for so many seconds or until released.

        Processes follow at their next failure, at the end of what they know, or within ``REFRESH`` seconds. Like all
        that forces, it raises ``UpstashError`` where the server is away, and nothing is changed then.
        """
        return self._force("open", seconds)

    def _force_close(self, seconds: float | None = None) -> Generator[Effect, Any, Standing]:
        """Let all calls pass, in all processes, and count them, for so many seconds or until released."""
        return self._force("closed", seconds)

    def _disable(self, seconds: float | None = None) -> Generator[Effect, Any, Standing]:
        """Let all calls pass, in all processes, and count nothing, for so many seconds or until released."""
        return self._force("disabled", seconds)

    def _release(self) -> Generator[Effect, Any, Standing]:
        """Take back what was forced; the circuit is closed then, and counts from zero."""
        return self._force(RELEASED, None)

    read, aread = twins(_read)
    force_open, aforce_open = twins(_force_open)
    force_close, aforce_close = twins(_force_close)
    disable, adisable = twins(_disable)
    release, arelease = twins(_release)

    # The steps of all this, done by a thread that waits or a task that awaits

    def _enter(self) -> Generator[Effect, Any, CallEntry]:
        """Return the entry of a call that is let through; raise ``CircuitOpen`` for one that is not."""
        options = self.options
        if not options.enabled:
            return CallEntry(self, None, None)
        scene = self._scene(options)
        if scene.link.board.is_due(options.refresh, scene.circuit.clock()):
            found = yield from asked(scene.link, operations.forced())
            if found is not None:
                scene.link.board.take_forced(found)
        if scene.circuit.is_stale:
            yield from self._look_again(scene)
        return CallEntry(self, scene, (yield from self._admitted(scene)))

    def _leave(self, entry: CallEntry, error: BaseException | None) -> Generator[Effect, Any, None]:
        scene, permit = entry.scene, entry.permit
        if scene is None or permit is None or not permit.owner.is_here:
            return
        options, circuit = scene.options, scene.circuit
        outcome = self._outcome(error)
        is_slow = options.slow_call is not None and circuit.clock() - permit.started >= options.slow_call
        if outcome is CallOutcome.SUCCESS and is_slow:
            outcome = CallOutcome.FAILURE
        else:
            is_slow = False
        shown = "slow call" if is_slow else type(error).__name__
        step = circuit.count(options, permit, outcome, shown)
        if permit.token is not None:
            step = settle(options, permit.token, outcome.value, held=circuit.held, error=shown)
        if step is not None:
            yield from self._take(scene, step)

    def _admitted(self, scene: Scene) -> Generator[Effect, Any, Permit | None]:
        circuit = scene.circuit
        answer = circuit.admit(scene.options)
        if answer is Answer.ASK:
            token, refused_before = token_hex(8), circuit.untold_refusals
            step = probe(scene.options, token, held=circuit.held, refused=refused_before)
            try:
                standing = yield from self._take(scene, step)
            finally:
                circuit.asked()
            if standing.granted:
                circuit.told_refusals(refused_before)
                return circuit.permit(token)
            answer = Answer.PASS if standing.state.lets_pass else Answer.REFUSE
        if answer is Answer.PASS:
            return None if circuit.state is State.DISABLED else circuit.permit()
        retry_after = circuit.refuse()
        yield Tell(CircuitBreaker, Event(refused, {"breaker": self.name, "retry_after": retry_after}))
        raise CircuitOpen(self.name, retry_after)

    def _take(self, scene: Scene, step: Step) -> Generator[Effect, Any, Standing]:
        """Take a step on the record of all processes, or while the server is away on this one's own."""
        circuit, options = scene.circuit, scene.options
        generation = circuit.generation
        found: Standing | None = yield from asked(scene.link, self._operation(scene.link, step))
        standing = circuit.decide_alone(step) if found is None else found
        for event in circuit.take(standing, options, generation, alone=found is None):
            yield Tell(CircuitBreaker, event)
        return standing

    def _look_again(self, scene: Scene) -> Generator[Effect, Any, None]:
        """Learn what has been forced elsewhere, or released."""
        circuit = scene.circuit
        circuit.is_stale = False
        generation = circuit.generation
        found: Standing | None = None
        try:
            found = yield from asked(scene.link, operations.look(self.name))
        finally:
            if found is None:  # the server is away, or the task was cancelled
                circuit.is_stale = True
        for event in circuit.take(found, scene.options, generation, alone=False) if found else []:
            yield Tell(CircuitBreaker, event)

    def _force(self, kind: str, seconds: float | None) -> Generator[Effect, Any, Standing]:
        scene, step = self._scene(self.options), force(kind, seconds)
        circuit, connection = scene.circuit, scene.link.connection
        standing: Standing
        if connection is None:
            standing = circuit.decide_alone(step)
        else:
            standing = yield Run(connection, operations.decide(connection.capabilities, self.name, step))
        for event in circuit.take(standing, scene.options, circuit.generation, alone=connection is None):
            yield Tell(CircuitBreaker, event)
        return standing

    def _operation(self, here: Link, step: Step) -> Operation[Standing] | None:
        if here.connection is None:
            return None
        if step is LOOK:
            return operations.look(self.name)
        return operations.decide(here.connection.capabilities, self.name, step)

    def _scene(self, options: BreakerOptions) -> Scene:
        here = self._link = link(options, self._link)
        return Scene(options, here, here.board.circuit(self.name))

    def _outcome(self, error: BaseException | None) -> CallOutcome:
        if error is None or isinstance(error, self._excluded):
            return CallOutcome.SUCCESS
        if isinstance(error, self._included):
            return CallOutcome.FAILURE
        # Other errors show that the other side answers; what ends a task or the process shows nothing.
        return CallOutcome.SUCCESS if isinstance(error, Exception) else CallOutcome.NEITHER

    def _is_fallen_back_on(self, error: Exception) -> bool:
        is_own_refusal = isinstance(error, CircuitOpen) and error.name == self.name
        return is_own_refusal or self._outcome(error) is CallOutcome.FAILURE
