"""What goes wrong between a workspace and the Hub: busy, broken, killed, raced, and harmed on purpose."""

import io
import json
import shutil
import signal
import subprocess
import sys
import tarfile
from concurrent.futures import ThreadPoolExecutor

import pytest
from hub_workspace import agree, content, write_release
from huggingface_hub import CommitOperationAdd, HfApi

from svc_core import files, layout
from svc_core.audio.prepare import RecordingRecord
from svc_core.errors import BadInput, ConfigError, Damaged, Transient
from svc_core.hub import (
    Hub,
    Repo,
    pull_features,
    pull_raw,
    pull_sliced,
    push_features,
    push_model,
    push_raw,
    push_sliced,
    status,
)

# huggingface_hub 2.4 uploads large files through an argument that its HTTP library is about to drop.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


@pytest.fixture
def hub(loopback_hub):
    return loopback_hub


def repo_of(server, hub, kind: str, speaker: str):
    repo = Repo(kind, hub.namespace, speaker)
    return server.repo(repo.type, repo.id)


def manifest_of(there) -> dict:
    return json.loads(there.files()["svc-jobs.json"])


def wavs(root) -> dict[str, bytes]:
    return {key: data for key, data in content(root, "data/44k").items() if key.endswith(".wav")}


@pytest.mark.parametrize("status_code", [429, 500, 503])
@pytest.mark.parametrize(
    "pattern", [r"GET .*/tree/", r"POST .*/commit/", r"POST .*objects/batch", r"GET /api/datasets/[^/]+/[^/]+$"]
)
def test_a_busy_hub_is_waited_for_as_it_asks(hub_server, hub, made, empty, status_code, pattern):
    hub_server.faults.answer(pattern, status_code, times=2, headers={"Retry-After": "0"})
    push_sliced(made.root, made.speaker, hub)
    assert hub_server.faults.left == 0
    hub_server.faults.answer("GET .*/resolve/", status_code, times=2, headers={"Retry-After": "0"})
    pull_sliced(empty, made.speaker, hub)
    assert wavs(empty) == wavs(made.root)


def test_a_hub_that_stays_away_is_transient(hub_server, hub_here, made):
    impatient = Hub(hub_server.namespace, patience_s=0.2)
    hub_server.faults.answer("POST .*/commit/", 503, times=1000)
    with pytest.raises(Transient, match="run the same command again"):
        push_raw(made.root, made.speaker, impatient)


def test_a_wait_longer_than_our_patience_is_not_begun(hub_server, hub_here, made):
    hub_server.faults.answer("POST .*/commit/", 503, times=1000, headers={"Retry-After": "3600"})
    with pytest.raises(Transient):
        push_raw(made.root, made.speaker, Hub(hub_server.namespace, patience_s=5))


def test_broken_transfers_are_gone_on_with(hub_server, hub, made, empty):
    hub_server.faults.cut_upload("PUT ", 1000, times=2)
    hub_server.faults.drop("POST .*/commit/", times=1)
    push_features(made.root, made.speaker, hub)
    hub_server.faults.cut(r"GET .*shards/", 1000, times=2)
    hub_server.faults.drop(r"GET .*shards/", times=1)
    pull_features(empty, made.speaker, hub)
    assert hub_server.faults.left == 0
    assert content(empty, "data/44k").items() <= content(made.root, "data/44k").items()
    assert status(empty, "features", made.speaker, hub).same


def test_a_commit_whose_answer_is_lost_is_found_to_be_made(hub_server, hub, made):
    hub_server.faults.lose_answer("POST .*/commit/", times=1)
    push_sliced(made.root, made.speaker, hub)
    there = repo_of(hub_server, hub, "sliced", made.speaker)
    assert sum(commit.title.startswith("svc-jobs") for commit in there.commits()) == 1
    assert status(made.root, "sliced", made.speaker, hub).same


def test_a_push_that_was_killed_goes_on_and_sends_nothing_twice(hub_server, hub, made, empty):
    given = ["--speaker", made.speaker, "--namespace", hub.namespace, "-w", str(made.root)]
    victim = subprocess.Popen([sys.executable, "-W", "ignore", "-m", "jobs", "hub", "push", "raw", *given])
    hub_server.faults.before("POST .*/commit/", victim.kill)
    hub_server.faults.drop("POST .*/commit/")
    assert victim.wait(60) != 0
    there = repo_of(hub_server, hub, "raw", made.speaker)
    sent = list(there.uploads)
    assert sent
    with pytest.raises(BadInput, match="is empty"):
        pull_raw(empty, made.speaker, hub)
    push_raw(made.root, made.speaker, hub)
    assert there.uploads == sent, "large files were there already"
    pull_raw(empty, made.speaker, hub)
    assert content(empty, "raw") == content(made.root, "raw")
    assert not list(made.root.glob(".tmp-*"))


def test_a_pull_stays_at_its_commit_while_the_branch_moves(hub_server, hub, made, empty):
    first = push_raw(made.root, made.speaker, hub)
    before = content(made.root, "raw")

    def move() -> None:
        (made.root / "raw" / made.speaker / "take 0.flac").write_bytes(b"another take")
        push_raw(made.root, made.speaker, hub)

    hub_server.faults.before("GET .*/resolve/.*take", move)
    assert pull_raw(empty, made.speaker, hub).revision == first.revision
    assert content(empty, "raw") == before


def test_two_machines_that_push_at_once_lose_nothing(hub_server, hub, made, tmp_path, empty):
    roots = [made.root, tmp_path / "other"]
    shutil.copytree(made.root, roots[1])
    records = sorted((made.root / layout.slice_manifests_dir(made.speaker)).iterdir())
    for root, gone in zip(roots, (records[0], records[-1]), strict=True):
        (root / gone.relative_to(made.root)).unlink()
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda root: push_sliced(root, made.speaker, hub), roots))
    pull_sliced(empty, made.speaker, hub)
    assert wavs(empty) == wavs(roots[1])


def test_somebody_else_s_commit_in_between_is_merged(hub_server, hub, made, tmp_path, empty):
    other = tmp_path / "other"
    (other / "raw" / made.speaker).mkdir(parents=True)
    (other / "raw" / made.speaker / "take 0.flac").write_bytes(b"their take")
    (other / "raw" / made.speaker / "theirs.flac").write_bytes(b"only theirs")
    hub_server.faults.before("POST .*/commit/", lambda: push_raw(other, made.speaker, hub))
    push_raw(made.root, made.speaker, hub)
    pull_raw(empty, made.speaker, hub)
    theirs = {f"raw/{made.speaker}/theirs.flac": b"only theirs"}
    assert content(empty, "raw") == content(made.root, "raw") | theirs


def test_a_recording_cut_anew_takes_the_place_of_its_old_clips(hub_server, hub, made, empty):
    from jobs.cli import run

    push_sliced(made.root, made.speaker, hub)
    old = wavs(made.root)
    pull_sliced(empty, made.speaker, hub)
    for stage in (["prepare", "--max-length-ms", "7000"], ["slice"]):
        assert run([stage[0], "-w", str(made.root), *stage[1:], "-q"]) == 0
    assert set(wavs(made.root)) != set(old)
    push_sliced(made.root, made.speaker, hub)
    there = repo_of(hub_server, hub, "sliced", made.speaker)
    assert sum(name.startswith("data/") for name in there.files()) == 1, "the outdated shard is gone"
    pull_sliced(empty, made.speaker, hub)
    assert wavs(empty) == wavs(made.root), "and so are the outdated clips"


def test_sidecars_of_clips_that_are_no_more_leave_too(hub_server, hub, made, empty):
    from jobs.cli import run

    push_features(made.root, made.speaker, hub)
    for stage in (["prepare", "--max-length-ms", "7000"], ["slice"], ["filelists"], ["features", "--device", "cpu"]):
        assert run([stage[0], "-w", str(made.root), *stage[1:], "-q"]) == 0
    push_features(made.root, made.speaker, hub)
    pull_features(empty, made.speaker, hub)
    sidecars = {key: data for key, data in content(made.root, "data/44k").items() if key.endswith((".pt", ".npy"))}
    assert content(empty, "data/44k") == sidecars


def test_what_others_have_in_an_outdated_shard_is_kept(hub_server, hub, made, tmp_path, empty):
    """One recording of a shard changes on a machine that does not have the others."""
    push_sliced(made.root, made.speaker, hub)
    alone, all_wavs = tmp_path / "alone", wavs(made.root)
    record = RecordingRecord.read(sorted((made.root / layout.slice_manifests_dir(made.speaker)).iterdir())[0])
    fewer = record.model_copy(update={"clips": record.clips[:1]})
    fewer.write(alone / layout.slice_manifest(record.source.key))
    files.write_bytes(alone / record.clips[0].file.key, all_wavs[record.clips[0].file.key])
    push_sliced(alone, made.speaker, hub)
    pull_sliced(empty, made.speaker, hub)
    gone = {clip.file.key for clip in record.clips[1:]}
    assert gone
    assert wavs(empty) == {key: data for key, data in all_wavs.items() if key not in gone}
    there = repo_of(hub_server, hub, "sliced", made.speaker)
    assert sum(name.startswith("data/") for name in there.files()) == 1


def test_a_damaged_download_is_refused(hub_server, hub, made, empty):
    push_sliced(made.root, made.speaker, hub)
    hub_server.faults.garble(r"GET .*data/train-", times=10)
    with pytest.raises(Damaged, match="not what its manifest says"):
        pull_sliced(empty, made.speaker, hub)
    assert wavs(empty) == {}
    hub_server.faults.clear()
    pull_sliced(empty, made.speaker, hub)
    assert wavs(empty) == wavs(made.root)


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


def put(hub, repo: Repo, changes: dict[str, bytes]) -> None:
    """What somebody with a token may do to a repository."""
    operations = [CommitOperationAdd(path, data) for path, data in changes.items()]
    HfApi().create_commit(repo.id, operations, commit_message="evil", repo_type=repo.type)


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


def test_tokens_and_offline_are_said_and_tokens_never_shown(hub_server, hub, made, monkeypatch):
    from huggingface_hub import constants

    for token, words in ((hub_server.read_token, "can only read"), ("hf_wrong_token", "token")):
        with pytest.raises(ConfigError, match=words) as caught:
            push_raw(made.root, made.speaker, Hub(hub.namespace, token=token))
        assert token not in str(caught.value)
        assert token not in repr(Hub(hub.namespace, token=token))
    with pytest.raises(ConfigError, match="may not be used with this token"):
        push_raw(made.root, made.speaker, Hub(hub.namespace, token=hub_server.other_token))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ConfigError, match="HF_HUB_OFFLINE"):
        push_raw(made.root, made.speaker, hub)


def test_a_private_repository_is_nothing_to_strangers(hub_server, hub, made, empty, monkeypatch):
    push_raw(made.root, made.speaker, hub)
    with pytest.raises(BadInput, match="may not see it"):
        pull_raw(empty, made.speaker, Hub(hub.namespace, token=hub_server.other_token))


def test_another_speaker_s_repository_of_the_same_name_is_refused(hub_server, hub, made, empty):
    repo = Repo("raw", hub.namespace, made.speaker)
    push_raw(made.root, made.speaker, hub)
    there = repo_of(hub_server, hub, "raw", made.speaker)
    put(hub, repo, {"svc-jobs.json": json.dumps(manifest_of(there) | {"name": "somebody"}).encode()})
    with pytest.raises(ConfigError, match="holds raw of 'somebody'"):
        pull_raw(empty, made.speaker, hub)


def test_pushes_in_a_series_of_commits_end_with_the_manifest(hub_server, hub, empty, tmp_path):
    root = tmp_path / "many"
    for number in range(250):
        files.write_bytes(root / "raw/bob" / f"{number}.wav", b"RIFF%d" % number)
    push_raw(root, "bob", hub)
    there = repo_of(hub_server, hub, "raw", "bob")
    series = [commit for commit in there.commits() if commit.title.startswith("svc-jobs")]
    assert len(series) == 4
    assert ["svc-jobs.json" in there.files(commit.oid) for commit in series] == [True, False, False, False]
    pull_raw(empty, "bob", hub)
    assert content(empty, "raw") == content(root, "raw")


def test_a_second_release_of_a_step_gets_a_tag_of_its_own(hub_server, hub, made):
    agree(made.root, made.speaker)
    first = push_model(made.root, made.speaker, hub)
    write_release(made.root, made.speaker, weights=b"other" * 999)
    second = push_model(made.root, made.speaker, hub)
    tags = repo_of(hub_server, hub, "model", made.speaker).tags
    assert tags == {"step-6": first.revision, f"step-6-{second.revision[:8]}": second.revision}


def test_a_push_that_is_told_to_stop_stops_and_goes_on_later(hub_server, hub, made, svc_jobs_process):
    given = ["--speaker", made.speaker, "--namespace", hub.namespace, "-w", str(made.root)]
    process = svc_jobs_process("hub", "push", "raw", *given)
    hub_server.faults.before("POST .*/commit/", lambda: process.send_signal(signal.SIGTERM))
    hub_server.faults.answer("POST .*/commit/", 503, times=1000)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 75, err
    assert "told to stop" in err
    hub_server.faults.clear()
    assert not push_raw(made.root, made.speaker, hub).already


def test_cards_say_what_from_what_and_how(hub_server, hub, made):
    agree(made.root, made.speaker)
    for kind, push in (("raw", push_raw), ("sliced", push_sliced), ("features", push_features)):
        push(made.root, made.speaker, hub)
        card = repo_of(hub_server, hub, kind, made.speaker).files()["README.md"].decode()
        assert card.startswith("---\nlicense: other\n")
        for words in ("CC BY 4.0", "the owner's own voice", f"svc-jobs hub pull {kind}", made.speaker, "svc-jobs.json"):
            assert words in card
        assert ("<audio controls" in card) == (kind != "features")
    assert "dio" in card
    sliced = repo_of(hub_server, hub, "sliced", made.speaker).files()
    assert "slice.max_length_ms | 5000" in sliced["README.md"].decode()
    assert sum(name.startswith("examples/") for name in sliced) == 3
