"""A workspace's parts as repositories of a Hugging Face Hub: one pair of functions for each kind.

from pathlib import Path
from svc_core.hub import Hub, pull_raw, push_features

hub = Hub("my-name")  # the token comes from HF_TOKEN or `hf auth login`
pull_raw(Path("w"), "alice", hub)
push_features(Path("w"), "alice", hub)
"""

from svc_core.hub.client import Hub
from svc_core.hub.features import pull_features, push_features
from svc_core.hub.model import pull_model, push_model
from svc_core.hub.pull import Pulled
from svc_core.hub.push import Pushed
from svc_core.hub.raw import pull_raw, push_raw
from svc_core.hub.repos import KINDS, Kind, Repo
from svc_core.hub.sliced import pull_sliced, push_sliced
from svc_core.hub.status import Status, status

__all__ = [
    "KINDS",
    "Hub",
    "Kind",
    "Pulled",
    "Pushed",
    "Repo",
    "Status",
    "pull_features",
    "pull_model",
    "pull_raw",
    "pull_sliced",
    "push_features",
    "push_model",
    "push_raw",
    "push_sliced",
    "status",
]
