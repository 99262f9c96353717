"""Files of a folder, by their keys."""

from collections.abc import Sequence
from pathlib import Path

from svc_core import files, layout
from svc_core.manifest import FileRecord


class LocalFiles:
    def __init__(self, root: Path) -> None:
        self.root = root

    def read(self, key: str) -> bytes:
        return layout.local(self.root, key).read_bytes()

    def write(self, key: str, data: bytes, *, durable: bool = False) -> FileRecord:
        files.write_bytes(layout.local(self.root, key), data, durable=durable)
        return FileRecord.of(self.root, key, files.sha256_bytes(data))

    def drop(self, keys: Sequence[str]) -> None:
        for key in keys:
            layout.local(self.root, key).unlink(missing_ok=True)
