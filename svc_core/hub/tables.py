"""Clips in parquet: one row each, the wav's bytes exactly as they are, readable by `datasets` as an Audio column."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from svc_core import files
from svc_core.errors import Damaged
from svc_core.hub.contents import Member
from svc_core.hub.packing import Put

if TYPE_CHECKING:
    import pyarrow

GROUP_BYTES = 32_000_000
GROUP_ROWS = 100
"""A row group is closed at either: whoever streams reads one at a time."""
# What parquet may add to the bytes themselves: page headers and the other columns.
_SPARE_BYTES = 1_000_000
_TEXT = {"dtype": "string", "_type": "Value"}
_NUMBER = {"dtype": "float64", "_type": "Value"}
_FEATURES = {
    "audio": {"_type": "Audio"},
    "speaker": _TEXT,
    "source": _TEXT,
    "offset_s": _NUMBER,
    "seconds": _NUMBER,
    "split": _TEXT,
    "clip": _TEXT,
    "sha256": _TEXT,
}


def schema() -> "pyarrow.Schema":
    import pyarrow as pa

    audio = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    kinds = {"Audio": audio, "string": pa.string(), "float64": pa.float64()}
    fields = [(name, kinds[kind.get("dtype", kind["_type"])]) for name, kind in _FEATURES.items()]
    info = {"info": {"features": _FEATURES}}
    return pa.schema(fields, metadata={"huggingface": json.dumps(info)})


class TableWriter:
    """Rows into one file, a row group at a time; equal rows give equal bytes with one version of pyarrow."""

    def __init__(self, path: Path) -> None:
        import pyarrow.parquet

        self._schema = schema()
        self._writer = pyarrow.parquet.ParquetWriter(
            path, self._schema, compression="none", use_dictionary=False, write_statistics=False
        )
        self._rows: list[Mapping[str, Any]] = []
        self._size = 0

    def add(self, row: Mapping[str, Any]) -> None:
        self._rows.append(row)
        self._size += len(row["audio"]["bytes"])
        if self._size >= GROUP_BYTES or len(self._rows) >= GROUP_ROWS:
            self._flush()

    def close(self) -> None:
        self._flush()
        self._writer.close()

    def _flush(self) -> None:
        import pyarrow as pa

        if self._rows:
            self._writer.write_table(pa.Table.from_pylist(list(self._rows), schema=self._schema))
        self._rows, self._size = [], 0


def write_table(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    writer = TableWriter(path)
    for row in rows:
        writer.add(row)
    writer.close()


def read_table(path: Path, wanted: Mapping[str, Member], put: Put) -> None:
    """Hands over the wanted clips by key. Raises Damaged for a file that is none of ours, or would swell in memory."""
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(path, memory_map=False) as table:
            _check_plain(table.metadata, path)
            for group in range(table.num_row_groups):
                keys = table.read_row_group(group, columns=["clip"])["clip"].to_pylist()
                if any(key in wanted for key in keys):
                    audio = table.read_row_group(group, columns=["audio"])["audio"]
                    _hand_over(keys, audio, wanted, put)
    except (pyarrow.ArrowException, KeyError, TypeError) as error:
        raise Damaged(f"{path.name} is no table of clips ({_words(error)}): push it again") from None


def _hand_over(keys: Sequence[str], audio: Any, wanted: Mapping[str, Member], put: Put) -> None:
    for key, sound in zip(keys, audio, strict=True):
        if (member := wanted.get(key)) is not None:
            data = sound["bytes"].as_py()
            if not isinstance(data, bytes):
                raise TypeError("a row without sound")
            put(member, data)


def _check_plain(metadata: Any, path: Path) -> None:
    """We write plain pages: a file whose pages could hold more than it has bytes is not ours."""
    total = 0
    for group in range(metadata.num_row_groups):
        for column in range(metadata.num_columns):
            chunk = metadata.row_group(group).column(column)
            if chunk.compression != "UNCOMPRESSED" or any("DICTIONARY" in name for name in chunk.encodings):
                raise Damaged(f"{path.name} is compressed, which no shard of svc-jobs is: it is refused")
            total += chunk.total_uncompressed_size
    if total > path.stat().st_size + _SPARE_BYTES:
        raise Damaged(f"{path.name} says that it holds more than its size: it is refused")


def shard_name(path: Path) -> str:
    """By content, so that an unchanged shard is never sent twice."""
    return f"train-{files.sha256_file(path)[:16]}.parquet"


def _words(error: Exception) -> str:
    return str(error).partition("\n")[0][:120]
