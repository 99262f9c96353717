"""What may go wrong between a client and the Hub, by rules that a test sets."""

import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from threading import Lock

Action = Callable[[], object]


@dataclass
class Fault:
    """One rule. `pattern` is searched in "METHOD /path", unquoted and without the query; `times` counts down."""

    kind: str
    pattern: str
    times: int
    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    number: float = 0
    action: Action | None = None


class Faults:
    """Rules apply in the order in which they were set. `happened` counts what was done, by kind."""

    def __init__(self) -> None:
        self.happened: Counter[str] = Counter()
        self._rules: list[Fault] = []
        self._lock = Lock()

    def answer(self, pattern: str, status: int, times: int = 1, headers: Mapping[str, str] | None = None) -> None:
        """The next answers are this status, with headers such as Retry-After; nothing is done."""
        self._rules.append(Fault("answer", pattern, times, status=status, headers=headers or {}))

    def drop(self, pattern: str, times: int = 1) -> None:
        """The connection ends before anything is done."""
        self._rules.append(Fault("drop", pattern, times))

    def lose_answer(self, pattern: str, times: int = 1) -> None:
        """The request is carried out; then the connection ends without an answer."""
        self._rules.append(Fault("lose_answer", pattern, times))

    def cut(self, pattern: str, after_bytes: int, times: int = 1) -> None:
        """The answer's body ends after so many bytes. Shorter bodies pass and do not count."""
        self._rules.append(Fault("cut", pattern, times, number=after_bytes))

    def cut_upload(self, pattern: str, after_bytes: int, times: int = 1) -> None:
        """The connection ends when so many bytes of the request's body have come. Shorter bodies do not count."""
        self._rules.append(Fault("cut_upload", pattern, times, number=after_bytes))

    def garble(self, pattern: str, times: int = 1) -> None:
        """The answer's body has the right length and another content. Empty bodies do not count."""
        self._rules.append(Fault("garble", pattern, times))

    def delay(self, pattern: str, seconds: float, times: int = 1) -> None:
        self._rules.append(Fault("delay", pattern, times, number=seconds))

    def before(self, pattern: str, action: Action, times: int = 1) -> None:
        """Calls `action` before the request is carried out: somebody else's commit, or a kill."""
        self._rules.append(Fault("before", pattern, times, action=action))

    def clear(self) -> None:
        with self._lock:
            self._rules.clear()

    @property
    def left(self) -> int:
        """How many times the rules would still apply."""
        return sum(rule.times for rule in self._rules)

    def take(self, request: str, kinds: tuple[str, ...], size: int = 1) -> Fault | None:
        """The next rule for a request, counted as done. Cuts are for bodies of more than their number of bytes."""
        with self._lock:
            for rule in self._rules:
                if rule.times <= 0 or rule.kind not in kinds or not re.search(rule.pattern, request):
                    continue
                if (rule.kind in ("cut", "cut_upload") and size <= rule.number) or (rule.kind == "garble" and not size):
                    continue
                rule.times -= 1
                self.happened[rule.kind] += 1
                return rule
        return None
