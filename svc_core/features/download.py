"""Files of a Hub repository, through the unmodified huggingface_hub client.

So HF_HOME, HF_ENDPOINT, HF_TOKEN, HF_HUB_OFFLINE and mirrors work as its own documentation says. What is in the cache
is used without asking the Hub: a later run gets the same file, and no network is needed.
"""

from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import constants, errors, hf_hub_download, try_to_load_from_cache

from svc_core.errors import ConfigError, SvcError, Transient, from_os_error

CONFIG = "config.json"
_SHA256_DIGITS = 64


@dataclass(frozen=True)
class HubFiles:
    """The weights as they lie in the cache, config.json beside them if it was asked for, and the commit."""

    weights: Path
    config: Path | None
    commit: str


def cached(repo: str, names: list[str], revision: str | None, *, with_config: bool) -> HubFiles | None:
    """The first of `names` that the cache holds, without any network; None where it, or its config.json, is absent."""
    for name in names:
        weights = _in_cache(repo, name, revision)
        config = _in_cache(repo, CONFIG, revision) if with_config else None
        if weights and (config or not with_config):
            return HubFiles(weights, config, weights.parent.name)
    return None


def download(repo: str, names: list[str], revision: str | None, *, with_config: bool) -> HubFiles:
    """Downloads the first of `names` that the repository has.

    Raises ConfigError where the client is offline, or the repository, its revision or all names do not exist or may
    not be read; Transient where the network or the Hub fails.
    """
    for name in names:
        try:
            weights = Path(hf_hub_download(repo, name, revision=revision))
            commit = weights.parent.name
            config = Path(hf_hub_download(repo, CONFIG, revision=commit)) if with_config else None
            return HubFiles(weights, config, commit)
        except errors.RemoteEntryNotFoundError:
            continue
        except Exception as error:  # the client documents no closed set: HTTP, sockets, files, its transfer library
            raise _decision(repo, error) from error
    wanted = " or ".join(names) + (f" with {CONFIG}" if with_config else "")
    raise ConfigError(
        f"{repo} at {constants.ENDPOINT} holds no {wanted}: check HF_ENDPOINT, or bring the files yourself"
    )


def expected_sha256(weights: Path) -> str | None:
    """What the Hub said the content's hash is, None where the cache does not know it.

    The cache names the content of a large file by its sha256, and links to it.
    """
    name = weights.resolve().name if weights.is_symlink() else ""
    return name if len(name) == _SHA256_DIGITS else None


def discard(weights: Path) -> None:
    """Removes a damaged file from the cache, the link and what it points to, so that it is downloaded anew."""
    weights.resolve().unlink(missing_ok=True)
    weights.unlink(missing_ok=True)


def _in_cache(repo: str, name: str, revision: str | None) -> Path | None:
    found = try_to_load_from_cache(repo, name, revision=revision)
    return Path(found) if isinstance(found, str) else None


def _decision(repo: str, error: Exception) -> SvcError:
    where = f"{repo} at {constants.ENDPOINT}"
    answer = getattr(error, "response", None) or getattr(error.__cause__, "response", None)
    status = getattr(answer, "status_code", None)
    if constants.is_offline_mode():
        return ConfigError(f"{repo} is not in the cache ({constants.HF_HUB_CACHE}) and HF_HUB_OFFLINE is set")
    if isinstance(error, errors.RevisionNotFoundError):
        return ConfigError(f"{where} has no such revision: check HF_ENDPOINT, or bring the files yourself")
    if isinstance(error, errors.RepositoryNotFoundError) or status in (401, 403):
        return ConfigError(f"{where} does not exist or may not be read: check HF_ENDPOINT and HF_TOKEN")
    if isinstance(error.__cause__, errors.FileMetadataError):
        return ConfigError(f"{where} does not answer like a Hub: check HF_ENDPOINT and the proxy settings")
    if isinstance(error, OSError) and error.errno is not None:
        return from_os_error(error, constants.HF_HUB_CACHE)
    reason = str(error.__cause__ or error).partition("\n")[0]
    return Transient(f"{where} cannot be reached or broke off ({reason}): run the same command again")
