"""Which repository of the Hub holds which part of a workspace, and under which name."""

import hashlib
import re
from typing import Literal, NamedTuple

from svc_core import layout
from svc_core.errors import ConfigError

Kind = Literal["raw", "sliced", "features", "model"]
KINDS: tuple[Kind, ...] = ("raw", "sliced", "features", "model")
NAME_CHARS = 96
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")


class Repo(NamedTuple):
    """`<namespace>/<kind>-<speaker>`, a data set; a model stands under the voice's own name."""

    kind: Kind
    namespace: str
    name: str
    """the speaker, or the voice of a model"""

    @property
    def id(self) -> str:
        name = hub_name(self.name) if self.kind == "model" else hub_name(self.name, f"{self.kind}-")
        return f"{self.namespace}/{name}"

    @property
    def type(self) -> Literal["dataset", "model"]:
        return "model" if self.kind == "model" else "dataset"


def hub_name(name: str, prefix: str = "") -> str:
    """`prefix` and `name` where the Hub takes that for a repository, else a slug with 8 hex of the name's sha256.

    The true name stands in the repository's manifest.
    """
    if _is_allowed(prefix + name):
        return prefix + name
    digest = hashlib.sha256(name.encode("utf-8")).hexdigest()[:8]
    return f"{prefix}{layout.slug(name)}-{digest}"


def check_namespace(name: str) -> str:
    """`name` itself. Raises ConfigError where it cannot be a user or an organisation of the Hub."""
    if not _is_allowed(name):
        raise ConfigError(f"{name!r} is no namespace of the Hub: give the name of your user or organisation there")
    return name


def _is_allowed(name: str) -> bool:
    return (
        len(name) <= NAME_CHARS
        and _NAME.fullmatch(name) is not None
        and "--" not in name
        and ".." not in name
        and not name.endswith((".git", ".ipynb"))
    )
