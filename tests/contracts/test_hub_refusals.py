"""What is refused: files made to harm, repositories of others, tokens without the right."""

import io
import json
import tarfile

import pytest
from hub_workspace import content, manifest_of, put, repo_of
from huggingface_hub import HfApi

from svc_core import files
from svc_core.errors import BadInput, ConfigError, Damaged
from svc_core.hub import Hub, Repo, pull_features, pull_raw, pull_sliced, push_features, push_raw, push_sliced


def evil_tar(there, name: str, kind: bytes = tarfile.REGTYPE, **facts) -> bytes:
    """The features' shard with one more entry in front."""
    (shard,) = (data for path, data in there.files().items() if path.endswith(".tar"))
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        entry = tarfile.TarInfo(name)
        entry.type = kind
        for fact, value in facts.items():
            setattr(entry, fact, value)
        tar.addfile(entry, io.BytesIO(b"x" * entry.size))
        with tarfile.open(fileobj=io.BytesIO(shard)) as old:
            for member in old:
                tar.addfile(member, old.extractfile(member))
    return buffer.getvalue()


SPARSE = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "e", "GNU.sparse.realsize": "9" * 13}

EVIL = {
    "parent": {"name": "../../../evil.pt", "size": 4},
    "absolute": {"name": "/tmp/svc-jobs-evil.pt", "size": 4},
    "link": {"name": "evil", "kind": tarfile.SYMTYPE, "linkname": "/etc"},
    "hard link": {"name": "evil", "kind": tarfile.LNKTYPE, "linkname": "../../evil"},
    "device": {"name": "evil", "kind": tarfile.CHRTYPE},
    "pipe": {"name": "evil", "kind": tarfile.FIFOTYPE},
    "folder": {"name": "evil", "kind": tarfile.DIRTYPE},
    "sparse bomb": {"name": "evil", "pax_headers": SPARSE, "size": 512},
}  # fmt: skip


@pytest.mark.parametrize("what", EVIL)
def test_an_evil_tar_is_refused(hub_server, hub, made, empty, what):
    push_features(made.root, made.speaker, hub)
    there = repo_of(hub_server, hub, "features", made.speaker)
    (path,) = (name for name in there.files() if name.endswith(".tar"))
    data = evil_tar(there, **EVIL[what])
    listed = manifest_of(there)
    for file in listed["files"]:
        if file["path"] == path:
            file.update(sha256=files.sha256_bytes(data), size=len(data))
    changes = {path: data, "svc-jobs.json": json.dumps(listed).encode()}
    put(hub, Repo("features", hub.namespace, made.speaker), changes)
    with pytest.raises(Damaged, match=r"refused|no tar file"):
        pull_features(empty, made.speaker, hub)
    assert content(empty, "") == {}
    assert not list(empty.parent.glob("evil*"))


def test_a_manifest_that_names_places_outside_is_refused(hub_server, hub, made, empty):
    push_raw(made.root, made.speaker, hub)
    repo = Repo("raw", hub.namespace, made.speaker)
    there = repo_of(hub_server, hub, "raw", made.speaker)
    for key in ("raw/somebody else/x.wav", f"raw/{made.speaker}/../../../x.wav", "/etc/x.wav", "data/44k/spk_map.json"):
        listed = manifest_of(there)
        entry = listed["entries"][0]
        entry["key"] = entry["members"][0]["key"] = key
        put(hub, repo, {"svc-jobs.json": json.dumps(listed).encode()})
        with pytest.raises(Damaged, match="cannot be part of it"):
            pull_raw(empty, made.speaker, hub)
    assert content(empty, "") == {}


def test_a_compressed_table_is_refused(hub_server, hub, made, empty):
    import pyarrow
    import pyarrow.parquet

    push_sliced(made.root, made.speaker, hub)
    there = repo_of(hub_server, hub, "sliced", made.speaker)
    (path,) = (name for name in there.files() if name.endswith(".parquet"))
    buffer = io.BytesIO()
    table = pyarrow.parquet.read_table(io.BytesIO(there.files()[path]))
    pyarrow.parquet.write_table(table, buffer, compression="zstd")
    listed = manifest_of(there)
    for file in listed["files"]:
        if file["path"] == path:
            file.update(sha256=files.sha256_bytes(buffer.getvalue()), size=len(buffer.getvalue()))
    changes = {path: buffer.getvalue(), "svc-jobs.json": json.dumps(listed).encode()}
    put(hub, Repo("sliced", hub.namespace, made.speaker), changes)
    with pytest.raises(Damaged, match="compressed"):
        pull_sliced(empty, made.speaker, hub)


def test_a_repository_that_is_not_ours_is_left_alone(hub_server, hub, made, empty):
    repo = Repo("raw", hub.namespace, made.speaker)
    HfApi().create_repo(repo.id, repo_type="dataset", private=True)
    put(hub, repo, {"my own.txt": b"not yours"})
    with pytest.raises(BadInput, match="no repository of svc-jobs"):
        push_raw(made.root, made.speaker, hub)
    assert repo_of(hub_server, hub, "raw", made.speaker).files()["my own.txt"] == b"not yours"


def test_another_speaker_s_repository_of_the_same_name_is_refused(hub_server, hub, made, empty):
    repo = Repo("raw", hub.namespace, made.speaker)
    push_raw(made.root, made.speaker, hub)
    there = repo_of(hub_server, hub, "raw", made.speaker)
    put(hub, repo, {"svc-jobs.json": json.dumps(manifest_of(there) | {"name": "somebody"}).encode()})
    with pytest.raises(ConfigError, match="holds raw of 'somebody'"):
        pull_raw(empty, made.speaker, hub)


def test_tokens_and_offline_are_said_and_tokens_never_shown(hub_server, hub, made, monkeypatch):
    from huggingface_hub import constants

    for token, words in ((hub_server.read_token, "can only read"), ("hf_wrong_token", "token")):
        with pytest.raises(ConfigError, match=words) as caught:
            push_raw(made.root, made.speaker, Hub(hub.namespace, token=token))
        assert token not in str(caught.value)
        assert token not in repr(Hub(hub.namespace, token=token))
    with pytest.raises(ConfigError, match="may write for stranger, not for 'tester'"):
        push_raw(made.root, made.speaker, Hub(hub.namespace, token=hub_server.other_token))
    assert not hub_server.state.repos
    assert not push_raw(made.root, made.speaker, Hub(hub_server.organisation)).already
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ConfigError, match="HF_HUB_OFFLINE"):
        push_raw(made.root, made.speaker, hub)


def test_a_private_repository_is_nothing_to_strangers(hub_server, hub, made, empty, monkeypatch):
    push_raw(made.root, made.speaker, hub)
    with pytest.raises(BadInput, match="may not see it"):
        pull_raw(empty, made.speaker, Hub(hub.namespace, token=hub_server.other_token))
