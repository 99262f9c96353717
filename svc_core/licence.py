"""The owner's licence: a LICENSE file beside recordings or a release, quoted on their cards."""

_NAMES = frozenset(f"{name}{suffix}" for name in ("license", "licence") for suffix in ("", ".txt", ".md"))
_CHARS = 4_000
_FENCE = "```"


def is_licence(name: str) -> bool:
    return name.lower() in _NAMES


def text_of(data: bytes) -> str | None:
    """What a card shows of the file; None where it is empty."""
    return data.decode("utf-8", "replace")[:_CHARS].strip() or None


def quoted(text: str) -> str:
    """As a block of Markdown that cannot end early."""
    return f"{_FENCE}\n{text.replace(_FENCE, '')}\n{_FENCE}"
