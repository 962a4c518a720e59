"""What is to be done when a response that a view has not rendered has been, or could not be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from asgiref.sync import iscoroutinefunction


def when_rendered(response: Any, done: Callable[[Any], None], failed: Callable[[], None]) -> None:
    """Call ``done`` with a response once it is rendered, or ``failed`` where that ends in an error."""
    response.add_post_render_callback(done)
    render = response.render
    if iscoroutinefunction(render):
        return

    def rendering() -> Any:
        del response.render  # so that the response is what it was, and can be pickled
        try:
            return render()
        except Exception:
            failed()
            raise

    response.render = rendering
