"""What a container's own bytes promise, where the decoders do not tell: this is how a truncated file is found.

libsndfile shortens a cut wav, aiff, au or w64 to what is there without a word; both decoders do so to a cut ogg.
"""

import os
import struct
from typing import BinaryIO

_UNKNOWN_BYTES = {(1 << 64) - 1, 0xFFFF_FFFF, 0x8000_0000, 0x7FFF_FFFF, 0x7FFF_F000}
"""Sizes that programs write into the header when they stream to a pipe and cannot know the length."""

_OGG_PAGE_BYTES = 27 + 255 + 255 * 255
_MP3_FIRST_FRAMES_BYTES = 4096
_MAX_CHUNKS = 1000
"""Real files hold a few; a file of zeros would look like a hundred million."""


def shortage(handle: BinaryIO) -> str | None:
    """What the file lacks of the sound that its own bytes promise, None if nothing is known to be missing."""
    file_bytes = handle.seek(0, os.SEEK_END)
    handle.seek(0)
    if handle.read(4) == b"OggS":
        return "its last page is cut" if _ends_within_page(handle, file_bytes) else None
    missing_bytes = _missing_bytes(handle, file_bytes)
    return f"its header promises {missing_bytes} bytes more" if missing_bytes > 0 else None


def _missing_bytes(handle: BinaryIO, file_bytes: int) -> int:
    handle.seek(0)
    head = handle.read(24)
    match head[:4], head[8:12]:
        case (b"RIFF" | b"RF64", b"WAVE"):
            return _missing(handle, file_bytes, 12, "<4sI", b"data")
        case b"FORM", (b"AIFF" | b"AIFC"):
            return _missing(handle, file_bytes, 12, ">4sI", b"SSND")
        case b"caff", _:
            return _missing(handle, file_bytes, 8, ">4sQ", b"data")
        case b"RIFF", b"AVI ":
            return int.from_bytes(head[4:8], "little") + 8 - file_bytes
        case b"riff", _:  # w64: the whole size follows a 16-byte name
            return int.from_bytes(head[16:24], "little") - file_bytes
        case b".snd", _ if head[8:12] != b"\xff\xff\xff\xff":
            return int.from_bytes(head[4:8], "big") + int.from_bytes(head[8:12], "big") - file_bytes
    return 0


def _missing(handle: BinaryIO, file_bytes: int, start: int, chunk: str, sound: bytes) -> int:
    """Walks the chunks from `start`, each headed by name and size as `chunk`, to the one called `sound`."""
    head_bytes = struct.calcsize(chunk)
    position, long_bytes = start, None
    handle.seek(position)
    for _ in range(_MAX_CHUNKS):
        head = handle.read(head_bytes)
        if len(head) < head_bytes:
            break
        name, size = struct.unpack(chunk, head)
        position += head_bytes
        if name == b"ds64":
            long_bytes = int.from_bytes(handle.read(16)[8:], "little")
        if name == sound:
            promised = long_bytes if long_bytes is not None and size == 0xFFFF_FFFF else size
            return 0 if promised in _UNKNOWN_BYTES else position + promised - file_bytes
        position += size + (size % 2 if head_bytes == 8 else 0)
        handle.seek(position)
    return 0


def _ends_within_page(handle: BinaryIO, file_bytes: int) -> bool:
    handle.seek(max(0, file_bytes - _OGG_PAGE_BYTES))
    tail = handle.read(_OGG_PAGE_BYTES)
    start = tail.rfind(b"OggS\0")
    if start < 0:
        return False
    page = tail[start:]
    if len(page) < 27 or len(page) < 27 + page[26]:
        return True
    return len(page) < 27 + page[26] + sum(page[27 : 27 + page[26]])


def mp3_states_length(handle: BinaryIO) -> bool:
    """Whether an mp3 holds a Xing or Info header; without one its length is only an estimate from the bit rate."""
    handle.seek(0)
    head = handle.read(10)
    offset = 0
    if head[:3] == b"ID3" and len(head) == 10:
        offset = 10 + sum((byte & 0x7F) << shift for byte, shift in zip(head[6:], (21, 14, 7, 0), strict=True))
    handle.seek(offset)
    frames = handle.read(_MP3_FIRST_FRAMES_BYTES)
    return b"Xing" in frames or b"Info" in frames
