"""The process of its own in which a stranger's file is opened: `python -m svc_core.compat41.reader FILE TARGET`.

stdout gets one JSON object. Before the file is read, memory, time and the size of what is written are limited, and from
then on Python refuses this process programs, sockets and other files, whatever the file's content might bring about.
"""

import codecs
import json
import os
import resource
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from svc_core.compat41 import archive, pickles

_MEMORY_BYTES = 1 << 30
_MEMORY_TIMES = 6
_CPU_S = 120
_CODECS = ("cp437", "latin-1", "ascii", "utf-8")
"""What zip and pickle read names and texts with."""
_FORBIDDEN = (
    "os.",
    "subprocess.",
    "socket.",
    "shutil.",
    "ctypes.",
    "pty.",
    "webbrowser.",
    "exec",
    "import",
    "marshal.",
)


def main(path: Path, target: Path) -> dict[str, Any]:
    size = path.stat().st_size
    with open(path, "rb") as handle:
        for name in _CODECS:  # looked up while this process may still import
            codecs.lookup(name)
        limit(size)
        close_the_door(target)
        return _answer(handle, size, target)


def _answer(handle: BinaryIO, size: int, target: Path) -> dict[str, Any]:
    head = handle.read(512)
    handle.seek(0)
    try:
        if head.startswith(b"\x93NUMPY"):
            _refuse_array(handle)
        if head[257:262] == b"ustar":
            raise pickles.Malformed("it is a tar archive, not a file of torch 1.6 or newer")
        if not head.startswith(b"PK"):
            pickles.read(handle)  # names what is unsafe in it
            raise pickles.Malformed("it was written by a torch older than 1.6, or not by torch")
        weights = archive.convert(handle, size, target)
    except pickles.Unsafe as unsafe:
        return {"unsafe": str(unsafe)}
    except pickles.Malformed as malformed:
        return {"malformed": str(malformed)}
    except MemoryError:
        return {"malformed": "it asks for more memory than a file of its size needs"}
    return {"taken": sorted(weights.tensors), "facts": weights.facts, "left_out": weights.left_out}


def _refuse_array(handle: BinaryIO) -> None:
    """A .npy is no model; where its values are pickled, what is unsafe in them is named."""
    start = handle.read(8)
    length = int.from_bytes(handle.read(2 if start[6:7] == b"\x01" else 4), "little")
    if b"O" in handle.read(min(length, 1 << 16)):
        pickles.read(handle)
        raise pickles.Malformed("it is an array of pickled objects, not a model")
    raise pickles.Malformed("it is an array, not a model")


def limit(size: int) -> None:
    """Memory, processor time and what may be written, for a file of `size` bytes; as far as the system can."""
    for what, most in (
        (resource.RLIMIT_AS, _memory_now() + _MEMORY_BYTES + _MEMORY_TIMES * size),
        (resource.RLIMIT_CPU, _CPU_S),
        (resource.RLIMIT_FSIZE, 17 * size + (1 << 20)),
        (resource.RLIMIT_CORE, 0),
    ):
        hard = resource.getrlimit(what)[1]
        with suppress(ValueError, OSError):
            resource.setrlimit(what, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


def _memory_now() -> int:
    """Bytes of address space in use; threads of numpy's libraries reserve a lot on machines with many cores."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    except OSError:
        return 4 << 30


def close_the_door(target: Path) -> None:
    """From here on this process can open `target` and nothing else, import nothing and start nothing."""
    allowed = {os.fspath(target)}

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open" and arguments[0] not in allowed:
            raise pickles.Unsafe(f"opening {arguments[0]!r}")
        if event.startswith(_FORBIDDEN):
            raise pickles.Unsafe(event)

    sys.addaudithook(watch)


if __name__ == "__main__":
    answer = main(Path(sys.argv[1]), Path(sys.argv[2]))
    sys.stdout.write(json.dumps(answer))
