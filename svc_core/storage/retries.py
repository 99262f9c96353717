"""Trying again: what can pass is repeated with growing, random pauses, until a budget of attempts and time is spent."""

import itertools
import random
import time
from collections.abc import Callable
from typing import NamedTuple, TypeVar

from svc_core.errors import Conflict, SvcError, Transient

Answer = TypeVar("Answer")
_FIRST_S, _LONGEST_S = 0.1, 10.0


class Budget(NamedTuple):
    """At most so many attempts, the last of them begun within so many seconds of the first."""

    attempts: int
    seconds: float


def persist(
    request: Callable[[], Answer],
    explain: Callable[[Exception], SvcError],
    budget: Budget,
    waiting: Callable[[SvcError, float], None] = lambda reason, spent_s: None,
) -> Answer:
    """The answer to `request`. Raises what `explain` makes of its error: at once, or when the budget is spent.

    Only a Transient error is worth another attempt; a Conflict is an answer. `waiting` is told the error and the
    seconds since the first attempt before each pause.
    """
    began_s = time.monotonic()
    for attempt in itertools.count(1):
        try:
            return request()
        except Exception as error:
            reason = explain(error)
            spent_s = time.monotonic() - began_s
            lasting = not isinstance(reason, Transient) or isinstance(reason, Conflict)
            if lasting or attempt >= budget.attempts or spent_s >= budget.seconds:
                raise reason from None
        waiting(reason, spent_s)
        # Random, so that many clients of a store that comes back do not return all at once.
        pause_s = random.uniform(0, min(_LONGEST_S, _FIRST_S * 2**attempt))  # noqa: S311
        time.sleep(min(pause_s, max(budget.seconds - spent_s, 0)))
    raise AssertionError("count never ends")
