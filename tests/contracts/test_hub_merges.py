"""Pushes on top of what is there: of other machines, of older settings, in many commits; and pulls meanwhile."""

import shutil
from concurrent.futures import ThreadPoolExecutor

from hub_workspace import agree, content, manifest_of, repo_of, wavs, write_release

from svc_core import files, layout
from svc_core.audio.prepare import RecordingRecord
from svc_core.hub import pull_features, pull_raw, pull_sliced, push_features, push_model, push_raw, push_sliced


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


def test_a_recording_that_was_moved_has_its_clips_once(hub_server, hub, made, empty):
    from jobs.cli import run

    push_sliced(made.root, made.speaker, hub)
    folder = made.root / "raw" / made.speaker
    (folder / "old").mkdir()
    (folder / "take 0.flac").rename(folder / "old" / "take 0.flac")
    for stage in ("prepare", "slice"):
        assert run([stage, "-w", str(made.root), "-q"]) == 0
    push_sliced(made.root, made.speaker, hub)
    pull_sliced(empty, made.speaker, hub)
    assert wavs(empty) == wavs(made.root)
    entries = manifest_of(repo_of(hub_server, hub, "sliced", made.speaker))["entries"]
    assert [one["key"].rpartition("/")[2] for one in entries].count("take 0.flac") == 1
    assert push_sliced(made.root, made.speaker, hub).already


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
