"""The Hub of the tests behaves as the Hub does, as far as the unmodified huggingface_hub and datasets ask."""

import hashlib
import io
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import numpy as np
import pytest
import soundfile
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, HfFileSystem
from huggingface_hub.errors import (
    HfHubHTTPError,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from servers.hub import HubServer

DATASET = f"{HubServer.namespace}/raw-alice"
MODEL = f"{HubServer.namespace}/alice"
TREE = {"README.md": b"# hello\n", "a/b.txt": b"text", "a/sound.wav": b"RIFF" * 100, "leer": b"", "ä ö/x y.json": b"{}"}


@pytest.fixture
def api(hub_here) -> HfApi:
    return HfApi(endpoint=hub_here.endpoint, token=hub_here.token)


@pytest.fixture
def pushed(api, hub_here, tmp_path):
    """A private dataset with TREE in it; returns the repository as it stands on the server."""
    folder = tmp_path / "tree"
    for name, data in TREE.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    api.create_repo(DATASET, repo_type="dataset", private=True)
    api.upload_folder(repo_id=DATASET, folder_path=folder, repo_type="dataset", commit_message="first")
    return hub_here.repo("dataset", DATASET)


def adds(**files: bytes) -> list[CommitOperationAdd]:
    return [CommitOperationAdd(name, io.BytesIO(data)) for name, data in files.items()]


def status(error: pytest.ExceptionInfo) -> int:
    return error.value.response.status_code


def test_a_folder_goes_up_in_one_commit(pushed):
    assert pushed.private
    assert pushed.files() == TREE
    newest, oldest = pushed.commits()
    assert (newest.title, newest.parent, oldest.parent) == ("first", oldest.oid, None)
    assert pushed.uploads == [hashlib.sha256(TREE["a/sound.wav"]).hexdigest()]


def test_a_folder_comes_down_byte_for_byte(api, pushed, tmp_path):
    place = Path(api.snapshot_download(DATASET, repo_type="dataset"))
    into = Path(api.snapshot_download(DATASET, repo_type="dataset", local_dir=tmp_path / "here"))
    for found in (place, into):
        assert {name: (found / name).read_bytes() for name in TREE} == TREE


def test_a_pinned_commit_stays_what_it_was(api, pushed):
    first = pushed.branches["main"]
    pushed.commit("moved on", {"a/b.txt": b"new", "a/sound.wav": b"other"})
    for name in ("a/b.txt", "a/sound.wav"):
        old = api.hf_hub_download(DATASET, name, repo_type="dataset", revision=first)
        new = api.hf_hub_download(DATASET, name, repo_type="dataset")
        assert Path(old).read_bytes() == TREE[name]
        assert Path(new).read_bytes() == pushed.files()[name]
    assert api.repo_info(DATASET, repo_type="dataset", revision=first[:9]).sha == first


def test_equal_content_is_not_sent_again(api, pushed, hub_here):
    api.create_commit(DATASET, adds(**{"copy.wav": TREE["a/sound.wav"]}), commit_message="copy", repo_type="dataset")
    assert len(pushed.uploads) == 1
    assert pushed.files()["copy.wav"] == TREE["a/sound.wav"]
    before = pushed.branches["main"]
    api.create_commit(DATASET, adds(**{"a/b.txt": b"text"}), commit_message="nothing new", repo_type="dataset")
    assert pushed.branches["main"] == before


def test_a_moved_parent_is_412_and_of_two_pushers_one_wins(api, pushed):
    head = pushed.branches["main"]

    def push(name: str) -> int:
        try:
            api.create_commit(
                DATASET, adds(**{name: b"x"}), commit_message=name, repo_type="dataset", parent_commit=head
            )
        except HfHubHTTPError as error:
            return error.response.status_code
        return 200

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(push, ("one", "two"))) == [200, 412]
    assert len({"one", "two"} & set(pushed.files())) == 1
    assert pushed.commits()[0].parent == head


def test_tree_in_pages_with_folders_and_large_files(api, pushed, hub_here):
    hub_here.state.page_size = 2
    entries = {entry.path: entry for entry in api.list_repo_tree(DATASET, repo_type="dataset", recursive=True)}
    assert set(entries) == {*TREE, ".gitattributes", "a", "ä ö"}
    assert entries["a/sound.wav"].lfs.sha256 == hashlib.sha256(TREE["a/sound.wav"]).hexdigest()
    assert entries["README.md"].lfs is None
    assert entries["README.md"].blob_id == hashlib.sha1(b"blob 8\0# hello\n").hexdigest()
    inside = api.list_repo_tree(DATASET, "ä ö", repo_type="dataset", expand=True)
    assert [(entry.path, entry.last_commit.title) for entry in inside] == [("ä ö/x y.json", "first")]
    with pytest.raises(RemoteEntryNotFoundError):
        list(api.list_repo_tree(DATASET, "none", repo_type="dataset"))


def test_paths_info_and_existence(api, pushed):
    found = api.get_paths_info(DATASET, ["a", "README.md", "none"], repo_type="dataset")
    assert [entry.path for entry in found] == ["a", "README.md"]
    assert api.file_exists(DATASET, "a/b.txt", repo_type="dataset")
    assert not api.file_exists(DATASET, "a/c.txt", repo_type="dataset")
    assert api.repo_exists(DATASET, repo_type="dataset")
    assert not api.repo_exists(DATASET)


def test_what_is_missing_has_its_own_error(api, pushed):
    with pytest.raises(RemoteEntryNotFoundError):
        api.hf_hub_download(DATASET, "none", repo_type="dataset")
    with pytest.raises(RevisionNotFoundError):
        api.hf_hub_download(DATASET, "README.md", repo_type="dataset", revision="v9")
    with pytest.raises(RepositoryNotFoundError):
        api.dataset_info(f"{DATASET}-none")


def test_files_and_folders_are_deleted(api, pushed):
    operations = [CommitOperationDelete("README.md"), CommitOperationDelete("a/", is_folder=True)]
    api.create_commit(DATASET, operations, commit_message="less", repo_type="dataset")
    assert set(pushed.files()) == {"leer", "ä ö/x y.json"}
    with pytest.raises(HfHubHTTPError):
        api.delete_file("none", DATASET, repo_type="dataset")


def test_branches_and_tags(api, pushed):
    first = pushed.branches["main"]
    api.create_tag(DATASET, tag="step-20", repo_type="dataset")
    with pytest.raises(HfHubHTTPError) as refused:
        api.create_tag(DATASET, tag="step-20", repo_type="dataset")
    assert status(refused) == 409
    api.create_tag(DATASET, tag="step-20", repo_type="dataset", exist_ok=True)
    api.create_branch(DATASET, branch="try/this", repo_type="dataset")
    api.create_commit(DATASET, adds(new=b"1"), commit_message="there", repo_type="dataset", revision="try/this")
    refs = api.list_repo_refs(DATASET, repo_type="dataset")
    assert {branch.name for branch in refs.branches} == {"main", "try/this"}
    assert [(tag.name, tag.target_commit) for tag in refs.tags] == [("step-20", first)]
    assert "new" in pushed.files("try/this")
    assert "new" not in pushed.files()
    assert api.list_repo_commits(DATASET, repo_type="dataset", revision="try/this")[0].title == "there"
    api.delete_tag(DATASET, tag="step-20", repo_type="dataset")
    api.delete_branch(DATASET, branch="try/this", repo_type="dataset")
    assert (pushed.tags, set(pushed.branches)) == ({}, {"main"})


def test_repositories_are_made_once_and_deleted(api, pushed, hub_here):
    with pytest.raises(HfHubHTTPError) as refused:
        api.create_repo(DATASET, repo_type="dataset")
    assert status(refused) == 409
    assert str(api.create_repo(DATASET, repo_type="dataset", exist_ok=True)).endswith(f"datasets/{DATASET}")
    api.create_repo(f"{hub_here.organisation}/voice")
    api.update_repo_settings(DATASET, private=False, repo_type="dataset")
    assert not pushed.private
    api.delete_repo(DATASET, repo_type="dataset")
    assert not api.repo_exists(DATASET, repo_type="dataset")
    for name in ("-a", "a..b", "a--b", "a.git", "ä", "x" * 97):
        answer = httpx2.post(
            f"{hub_here.endpoint}/api/repos/create",
            json={"name": name, "organization": None, "type": "model"},
            headers={"Authorization": f"Bearer {hub_here.token}"},
        )
        assert answer.status_code == 400


def test_tokens_say_who_they_are_and_limit_what_is_done(pushed, hub_here):
    reader = HfApi(endpoint=hub_here.endpoint, token=hub_here.read_token)
    assert reader.whoami()["auth"]["accessToken"]["role"] == "read"
    writer = HfApi(endpoint=hub_here.endpoint, token=hub_here.token).whoami()
    assert (writer["name"], writer["auth"]["accessToken"]["role"]) == (hub_here.namespace, "write")
    assert [one["name"] for one in writer["orgs"]] == [hub_here.organisation]
    assert Path(reader.hf_hub_download(DATASET, "README.md", repo_type="dataset")).read_bytes() == b"# hello\n"
    for write in (
        lambda: reader.create_repo(MODEL),
        lambda: reader.create_commit(DATASET, adds(x=b"1"), commit_message="no", repo_type="dataset"),
        lambda: reader.create_tag(DATASET, tag="t", repo_type="dataset"),
        lambda: reader.delete_repo(DATASET, repo_type="dataset"),
        lambda: HfApi(endpoint=hub_here.endpoint, token=hub_here.other_token).create_repo(MODEL),
    ):
        with pytest.raises(HfHubHTTPError) as refused:
            write()
        assert status(refused) == 403
    with pytest.raises(HfHubHTTPError) as refused:
        HfApi(endpoint=hub_here.endpoint, token="hf_wrong").whoami()
    assert status(refused) == 401


@pytest.mark.parametrize(("token", "expected"), [(False, 401), (HubServer.other_token, 404)])
def test_a_private_repository_hides(pushed, hub_here, token, expected):
    api = HfApi(endpoint=hub_here.endpoint, token=token)
    with pytest.raises(RepositoryNotFoundError) as refused:
        api.dataset_info(DATASET)
    assert status(refused) == expected
    with pytest.raises(RepositoryNotFoundError):
        api.hf_hub_download(DATASET, "README.md", repo_type="dataset")
    api_of_owner = HfApi(endpoint=hub_here.endpoint, token=hub_here.token)
    api_of_owner.update_repo_settings(DATASET, private=False, repo_type="dataset")
    assert api.dataset_info(DATASET).private is False


def test_the_file_system_reads_ranges(pushed, hub_here):
    fs = HfFileSystem(endpoint=hub_here.endpoint, token=hub_here.token, skip_instance_cache=True, use_listings_cache=0)
    base = f"datasets/{DATASET}"
    assert sorted(name.removeprefix(f"{base}/") for name in fs.find(base)) == sorted([*TREE, ".gitattributes"])
    with fs.open(f"{base}/a/sound.wav", block_size=64) as handle:
        handle.seek(398)
        assert handle.read() == b"FF"
    assert fs.info(f"{base}/a/sound.wav")["size"] == 400
    place = f"{hub_here.endpoint}/datasets/{DATASET}/resolve/main/a/b.txt"
    headers = {"Authorization": f"Bearer {hub_here.token}"}
    part = httpx2.get(place, headers={**headers, "Range": "bytes=1-2"})
    assert (part.status_code, part.content, part.headers["Content-Range"]) == (206, b"ex", "bytes 1-2/4")
    assert httpx2.get(place, headers={**headers, "Range": "bytes=-1"}).content == b"t"
    assert httpx2.get(place, headers={**headers, "Range": "bytes=4-"}).status_code == 416


def test_faults_are_injected_and_the_client_waits_as_asked(api, pushed, hub_here):
    hub_here.faults.answer(r"POST .*/preupload/", 429, headers={"Retry-After": "0"})
    hub_here.faults.answer(r"POST .*/objects/batch", 503)
    hub_here.faults.cut_upload(r"PUT /storage/", 10)
    hub_here.faults.before(r"POST .*/commit/", lambda: pushed.commit("somebody else", {"theirs": b"1"}))
    api.create_commit(DATASET, adds(**{"new.wav": b"1" * 50}), commit_message="mine", repo_type="dataset")
    assert [one.title for one in pushed.commits()][:2] == ["mine", "somebody else"]
    assert hub_here.faults.happened == {"answer": 2, "cut_upload": 1, "before": 1}
    assert pushed.files()["new.wav"] == b"1" * 50
    assert hub_here.faults.left == 0


def test_broken_downloads(api, pushed, hub_here):
    hub_here.faults.cut(r"GET .*sound\.wav", 100)
    path = api.hf_hub_download(DATASET, "a/sound.wav", repo_type="dataset")
    assert Path(path).read_bytes() == TREE["a/sound.wav"]
    assert hub_here.faults.happened["cut"] == 1
    hub_here.faults.garble(r"GET .*b\.txt")
    wrong = api.hf_hub_download(DATASET, "a/b.txt", repo_type="dataset", force_download=True)
    assert Path(wrong).read_bytes() == bytes(byte ^ 1 for byte in b"text")
    hub_here.faults.answer(r"HEAD .*README", 503)
    readme = api.hf_hub_download(DATASET, "README.md", repo_type="dataset")
    assert Path(readme).read_bytes() == TREE["README.md"]
    assert hub_here.faults.happened["answer"] == 1
    hub_here.faults.drop(r"GET /api/datasets/")
    with pytest.raises(httpx2.RemoteProtocolError):
        api.dataset_info(DATASET)
    hub_here.faults.lose_answer(r"POST .*/commit/")
    with pytest.raises(httpx2.RemoteProtocolError):
        api.create_commit(DATASET, adds(late=b"1"), commit_message="lost", repo_type="dataset")
    assert pushed.commits()[0].title == "lost"


def test_refuses_what_the_hub_refuses(api, pushed, hub_here):
    def commit(*lines: dict) -> httpx2.Response:
        head = {"key": "header", "value": {"summary": "x"}}
        return httpx2.post(
            f"{hub_here.endpoint}/api/datasets/{DATASET}/commit/main",
            content="\n".join(json.dumps(line) for line in (head, *lines)),
            headers={"Authorization": f"Bearer {hub_here.token}"},
        )

    before = pushed.branches["main"]
    for path in ("../x", "/x", "a//b", ".git/config", "a\\b", "a\nb"):
        assert commit({"key": "file", "value": {"path": path, "content": ""}}).status_code == 400
    pointer = {"path": "x.wav", "algo": "sha256", "oid": "0" * 64, "size": 1}
    assert commit({"key": "lfsFile", "value": pointer}).status_code == 400
    many = [{"key": "file", "value": {"path": f"many/{number}", "content": ""}} for number in range(10_001)]
    answer = commit(*many)
    assert answer.status_code == 400
    assert "too many files per directory" in answer.json()["error"]
    assert commit(*many[:3]).status_code == 200
    assert pushed.commits()[0].parent == before


DATASETS = """
import io, json, os, soundfile
from datasets import Audio, load_dataset
rows = load_dataset(os.environ["REPO"], split="train", streaming=True).cast_column("audio", Audio(decode=False))
found = [(row["speaker"], soundfile.read(io.BytesIO(row["audio"]["bytes"]))[0].size) for row in rows]
whole = load_dataset(os.environ["REPO"], split="train").num_rows
print(json.dumps({"found": found, "whole": whole, "features": str(rows.features["audio"])}))
"""


def test_datasets_streams_parquet_with_audio(api, hub_here, tmp_path):
    import pyarrow
    from pyarrow import parquet

    def wav(samples: int) -> bytes:
        handle = io.BytesIO()
        soundfile.write(handle, np.zeros(samples, dtype=np.float32), 44_100, format="WAV", subtype="PCM_16")
        return handle.getvalue()

    api.create_repo(DATASET, repo_type="dataset", private=True)
    features = {"audio": {"_type": "Audio", "sampling_rate": 44_100}, "speaker": {"_type": "Value", "dtype": "string"}}
    for shard in range(2):
        audio = [{"bytes": wav(100 + 10 * shard + row), "path": f"{row}.wav"} for row in range(2)]
        table = pyarrow.table({"audio": audio, "speaker": ["alice"] * 2})
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
        handle = io.BytesIO()
        parquet.write_table(table, handle)
        name = f"data/train-{shard:05d}-of-00002.parquet"
        api.upload_file(path_or_fileobj=handle.getvalue(), path_in_repo=name, repo_id=DATASET, repo_type="dataset")
    environment = {**os.environ, **hub_here.environment(tmp_path / "home"), "REPO": DATASET}
    ran = subprocess.run([sys.executable, "-c", DATASETS], env=environment, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    answer = json.loads(ran.stdout)
    assert answer["found"] == [["alice", size] for size in (100, 101, 110, 111)]
    assert answer["whole"] == 4
    assert answer["features"].startswith("Audio(")
