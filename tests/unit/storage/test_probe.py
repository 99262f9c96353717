"""doctor's checks of a store: quiet where all is well, and one sentence for each thing that is not."""

import time
from dataclasses import dataclass, field
from typing import Any

import pytest

from svc_core.errors import ConfigError, Transient
from svc_core.storage.folder import FolderStore
from svc_core.storage.memory import MemoryStore
from svc_core.storage.probe import examine

ALL = [
    *("list", "put", "get", "conditional put", "compare and swap"),
    *("multipart", "clock", "latency", "throughput", "delete"),
]


@dataclass
class Odd:
    """A memory store that refuses or ignores what a test says."""

    refuses: tuple[str, ...] = ()
    error: type[Exception] = ConfigError
    ignores_conditions: bool = False
    inner: MemoryStore = field(default_factory=MemoryStore)
    name: str = "odd"

    def __getattr__(self, name: str) -> Any:
        if name in self.refuses:
            raise self.error(f"odd: {name} is refused: grant it")
        return getattr(self.inner, name)

    def write(self, key, source, sha256, only_if=None):
        if "write" in self.refuses:
            raise self.error("odd: write is refused: grant it")
        return self.inner.write(key, source, sha256, None if self.ignores_conditions else only_if)


def failures(store, **options):
    return {check.subject: check.text for check in examine(store, **options) if check.level == "fail"}


@pytest.mark.parametrize("kind", ["memory", "folder"])
def test_a_good_store_passes_all_and_keeps_nothing(tmp_path, kind):
    store = MemoryStore() if kind == "memory" else FolderStore(tmp_path)
    checks = list(examine(store))
    assert [check.subject for check in checks] == ALL
    assert {check.level for check in checks} == {"ok"}, checks
    assert list(store.list()) == []


def test_a_store_that_ignores_conditions_is_refused_for_shared_writes_with_the_reason():
    found = failures(Odd(ignores_conditions=True))
    assert found.keys() == {"conditional put", "compare and swap"}
    assert all("refused for shared writes" in text and "use a store" in text for text in found.values())


@pytest.mark.parametrize(
    ("refuses", "subjects", "cure"),
    [
        ("write", {"put"}, "s3:PutObject"),
        ("read", {"get", "multipart", "throughput"}, "s3:GetObject"),
        ("delete", {"delete"}, "s3:DeleteObject"),
        ("list", {"list", "get", "clock"}, "s3:ListBucket"),
    ],
)
def test_a_missing_permission_is_named(refuses, subjects, cure):
    store = Odd(refuses=(refuses,))
    found = failures(store)
    assert found.keys() == subjects
    assert cure in " ".join(found.values())


def test_a_store_out_of_reach_is_tried_once():
    found = failures(Odd(refuses=("list", "write", "read"), error=Transient))
    assert list(found) == ["list"]


@pytest.mark.parametrize(("ahead_s", "fails"), [(0, False), (200, False), (-200, False), (400, True), (-400, True)])
def test_a_clock_that_is_five_minutes_off_fails(ahead_s, fails):
    found = failures(MemoryStore(), now_s=lambda: time.time() + ahead_s)
    assert bool(found) == fails
    assert not fails or "set the clocks" in found["clock"]
