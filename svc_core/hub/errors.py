"""What the Hub and its client say, as a decision of ours, and how long the Hub asks to be left alone.

No sentence holds a token: the client's errors name addresses and answers, and only the Hub's own words are passed on.
"""

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from huggingface_hub import constants, errors
from huggingface_hub.utils import parse_ratelimit_headers

from svc_core.errors import BadInput, ConfigError, Conflict, SvcError, Transient, from_os_error


class Absent(BadInput):
    """There is no such repository, or this token may not see it, or it is empty."""


_FORBIDDEN = (401, 403)
_CONFLICT = (409, 412)
_TOKEN = re.compile(r"hf_[A-Za-z0-9_]{6,}")
_WORDS = 200


def decision(error: Exception, where: str) -> SvcError:
    """`where` names the repository and the endpoint."""
    status = _status(error)
    if constants.is_offline_mode():
        return ConfigError(f"{where} cannot be asked while HF_HUB_OFFLINE is set: unset it, or work without the Hub")
    if isinstance(error, errors.LocalTokenNotFoundError):
        return ConfigError(f"{where} wants a token and there is none: set HF_TOKEN, or run hf auth login")
    if isinstance(error, errors.RevisionNotFoundError):
        return BadInput(f"{where} has no such revision: give a branch, a tag or a commit that it has")
    if isinstance(error, errors.EntryNotFoundError) and status == 404:
        return BadInput(f"{where} lacks a file that its manifest names: push it again")
    if isinstance(error, errors.GatedRepoError | errors.DisabledRepoError) or status == 403:
        return ConfigError(f"{where} may not be used with this token: give HF_TOKEN the right to it ({_words(error)})")
    if isinstance(error, errors.RepositoryNotFoundError) and (status != 401 or "nvalid" not in _words(error)):
        return BadInput(f"{where} does not exist, or this token may not see it: check --namespace, name and HF_TOKEN")
    if status in _FORBIDDEN:
        return ConfigError(f"{where} refuses this token: set HF_TOKEN to a valid one, or run hf auth login")
    if status in _CONFLICT:
        return Conflict(f"{where} was changed by somebody else meanwhile: run the same command again")
    if status is not None and 400 <= status < 500 and status not in (408, 429):
        return ConfigError(f"{where} refuses the request ({status}): {_words(error)}")
    if isinstance(error, OSError) and error.errno is not None and not isinstance(error, ConnectionError):
        return from_os_error(error)
    return Transient(f"{where} cannot be reached or broke off ({_words(error)}): run the same command again")


def asked_wait_s(error: Exception) -> float | None:
    """How long the Hub asks to wait, None where it does not say."""
    headers = getattr(_answer(error), "headers", None)
    if headers is None:
        return None
    limits = parse_ratelimit_headers(headers)
    if _status(error) == 429 and limits is not None and limits.remaining == 0:
        return float(limits.reset_in_seconds)
    return _retry_after_s(headers.get("retry-after", "").strip())


def _retry_after_s(text: str) -> float | None:
    """`Retry-After`: seconds, or a date."""
    if text.isdigit():
        return float(text)
    try:
        return max((parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds(), 0.0)
    except (ValueError, TypeError):
        return None


def _answer(error: BaseException) -> Any:
    """The HTTP answer behind an error, which the client sometimes wraps."""
    seen: BaseException | None = error
    while seen is not None:
        if (answer := getattr(seen, "response", None)) is not None:
            return answer
        seen = seen.__cause__
    return None


def _status(error: BaseException) -> int | None:
    return getattr(_answer(error), "status_code", None)


def _words(error: BaseException) -> str:
    text = getattr(error, "server_message", None) or str(error.__cause__ or error)
    return _TOKEN.sub("hf_***", " ".join(text.split()))[:_WORDS] or type(error).__name__
