"""`svc-jobs workspace` and `doctor`, on folders, and the texts and codes that a user meets."""

import json
import os

import pytest

from jobs.cli import load_command
from svc_core import files

SUBCOMMANDS = {
    "ls": {"workspace", "prefix", "json_", "quiet", "verbose"},
    "du": {"workspace", "json_", "quiet", "verbose"},
    "diff": {"left", "right", "json_", "quiet", "verbose"},
    "sync": {"source", "target", "delete", "dry_run", "json_", "quiet", "verbose"},
    "verify": {"workspace", "json_", "quiet", "verbose"},
    "gc": {"workspace", "delete", "older_than_s", "json_", "quiet", "verbose"},
}


@pytest.fixture
def sliced(svc_jobs, recordings):
    """A workspace with three recordings, sliced and listed."""
    root = recordings(count=3, seconds=6.0)
    for stage in ("prepare", "slice", "filelists"):
        ran = svc_jobs(stage, "-w", root, "-q")
        assert ran.code == 0, ran.err
    return root


def answer(ran):
    value = json.loads(ran.out)
    assert value["exit_code"] == ran.code
    assert all(json.loads(line)["event"] for line in ran.err.splitlines())
    return value


def test_the_commands_and_their_flags_are_these():
    command = load_command("workspace")
    assert {
        name: {one.name for one in inner.params} - {"help"} for name, inner in command.commands.items()
    } == SUBCOMMANDS


def test_ls_lists_every_file_and_a_prefix_only_its_own(svc_jobs, sliced):
    found = answer(svc_jobs("workspace", "ls", "-w", sliced, "--json"))
    paths = {path.relative_to(sliced).as_posix(): path for path in sliced.rglob("*") if path.is_file()}
    assert {item["key"] for item in found["objects"]} == paths.keys()
    assert found["bytes"] == sum(path.stat().st_size for path in paths.values())
    raw = answer(svc_jobs("workspace", "ls", "raw/", "-w", sliced, "--json"))
    assert {(item["stage"], item["speaker"]) for item in raw["objects"]} == {("raw", "alice")}
    ran = svc_jobs("workspace", "ls", "-w", sliced, "raw/alice/take 0")
    assert ran.code == 0
    assert "raw/alice/take 0.flac" in ran.out
    assert "1 file," in ran.out


def test_du_sums_files_bytes_and_minutes(svc_jobs, sliced):
    found = answer(svc_jobs("workspace", "du", "-w", sliced, "--json"))
    stages = {(item["stage"], item["speaker"]): item for item in found["stages"]}
    assert stages["raw", "alice"]["minutes"] == 0.3
    assert 0 < stages["clips", "alice"]["minutes"] <= 0.3
    assert stages["clips", "alice"]["bytes"] == sum(path.stat().st_size for path in sliced.rglob("wavs/*.wav"))
    assert sum(item["files"] for item in found["stages"]) == found["files"]
    assert "minutes" not in svc_jobs("workspace", "du", "-w", sliced, "-q").out


def test_sync_then_run_again_reads_nothing_and_diff_says_equal(svc_jobs, sliced, tmp_path):
    copy = tmp_path / "copy"
    dry = answer(svc_jobs("workspace", "sync", sliced, copy, "--dry-run", "--json"))
    assert not copy.exists()
    done = answer(svc_jobs("workspace", "sync", sliced, copy, "--json"))
    assert len(dry["copy"]) == done["copied"] + done["recorded"]
    assert "equal: " in svc_jobs("workspace", "diff", sliced, copy).out
    again = answer(svc_jobs("workspace", "sync", sliced, copy, "--json"))
    assert (again["copied"], again["recorded"], again["deleted"]) == (0, 0, 0)
    before = {path: path.stat().st_mtime_ns for path in copy.rglob("*.json")}
    opened = svc_jobs("slice", "-w", copy, "--json")
    assert answer(opened)["done"] == 0
    assert {path: path.stat().st_mtime_ns for path in before} == before, "no record needed a new stamp"


def test_diff_counts_and_lists_what_differs(svc_jobs, sliced, tmp_path):
    copy = tmp_path / "copy"
    assert svc_jobs("workspace", "sync", sliced, copy, "-q") == (0, "", "")
    files.write_text(copy / "converted/alice/mine.txt", "mine")
    files.write_text(copy / "data/prep/filelists/val.txt", "other")
    next(copy.glob("raw/alice/*.flac")).unlink()
    found = answer(svc_jobs("workspace", "diff", sliced, copy, "--json"))
    assert (len(found["only_a"]), found["only_b"], found["different"], found["same"]) == (
        1, ["converted/alice/mine.txt"], ["data/prep/filelists/val.txt"], False,
    )  # fmt: skip
    said = svc_jobs("workspace", "diff", sliced, copy, "-v").out
    assert "different: data/prep/filelists/val.txt" in said
    assert "1 only in A, 1 only in B, 1 different" in said


def test_sync_deletes_only_when_told_and_never_raw(svc_jobs, sliced, tmp_path):
    copy = tmp_path / "copy"
    svc_jobs("workspace", "sync", sliced, copy, "-q")
    files.write_text(copy / "raw/alice/own.flac", "own")
    files.write_text(copy / "reports/alice/old.html", "old")
    assert answer(svc_jobs("workspace", "sync", sliced, copy, "--json"))["deleted"] == 0
    assert answer(svc_jobs("workspace", "sync", sliced, copy, "--delete", "--json"))["deleted"] == 1
    assert (copy / "raw/alice/own.flac").exists()
    assert not (copy / "reports/alice/old.html").exists()


@pytest.mark.parametrize("target", ["", "inside"])
def test_a_workspace_is_not_copied_into_itself(svc_jobs, sliced, target):
    ran = svc_jobs("workspace", "sync", sliced, sliced / target)
    assert ran.code == 78
    assert "two places apart" in ran.err


def test_sync_refuses_keys_that_differ_only_in_case_naming_both(svc_jobs, sliced, tmp_path):
    files.write_text(sliced / "raw/alice/Take 0.flac", "x")
    ran = svc_jobs("workspace", "sync", sliced, tmp_path / "copy")
    assert ran.code == 66
    assert "Take 0.flac" in ran.err
    assert "take 0.flac" in ran.err
    assert not (tmp_path / "copy").exists()


def test_verify_is_quiet_when_all_is_well_and_names_the_first_fault_else(svc_jobs, sliced):
    ran = svc_jobs("workspace", "verify", "-w", sliced)
    assert ran.code == 0
    assert "all as recorded" in ran.out
    wavs = sorted(sliced.rglob("wavs/*.wav"))
    content = wavs[0].read_bytes()
    files.write_bytes(wavs[0], content[:-1] + bytes([content[-1] ^ 1]))
    wavs[1].unlink()
    ran = svc_jobs("workspace", "verify", "-w", sliced)
    assert ran.code == 66
    assert ran.err.count("\n") == 1
    assert wavs[0].name in ran.err
    assert "2 of" in ran.err
    found = answer(svc_jobs("workspace", "verify", "-w", sliced, "--json"))
    assert found["status"] == "error"
    by_kind = {fault["kind"]: fault for fault in found["faults"]}
    assert by_kind["content"]["found"] == files.sha256_file(wavs[0])
    assert by_kind["content"]["record"].startswith("data/prep/manifests/slice/alice/")
    assert by_kind["missing"]["key"].endswith(wavs[1].name)


def test_a_file_name_that_is_no_text_is_listed_named_and_not_copied(svc_jobs, sliced, tmp_path):
    (sliced / os.fsdecode(b"raw/alice/bad\xff.wav")).write_bytes(b"x")
    found = answer(svc_jobs("workspace", "ls", "raw/", "-w", sliced, "--json"))
    assert "raw/alice/bad\ufffd.wav" in {item["key"] for item in found["objects"]}
    assert svc_jobs("workspace", "ls", "-w", sliced).code == 0
    faults = answer(svc_jobs("workspace", "verify", "-w", sliced, "--json"))["faults"]
    assert [(fault["key"], fault["kind"]) for fault in faults] == [("raw/alice/bad\ufffd.wav", "key")]
    assert svc_jobs("workspace", "verify", "-w", sliced, "-v").code == 66
    ran = svc_jobs("workspace", "sync", sliced, tmp_path / "copy")
    assert ran.code == 66
    assert "not UTF-8" in ran.err
    assert not (tmp_path / "copy").exists()


def test_gc_shows_first_and_removes_when_told(svc_jobs, sliced):
    left = "data/44k/alice/wavs/old-0123abcd-5.wav"
    own = "data/44k/alice/wavs/my own.wav"
    for key in (left, own):
        files.write_text(sliced / key, "x")
        os.utime(sliced / key, (1, 1))
    shown = answer(svc_jobs("workspace", "gc", "-w", sliced, "--json"))
    assert ([item["key"] for item in shown["unused"]], shown["deleted"]) == ([left], False)
    assert (sliced / left).exists()
    assert answer(svc_jobs("workspace", "gc", "-w", sliced, "--delete", "--json"))["deleted"]
    assert not (sliced / left).exists()
    assert (sliced / own).exists()
    assert answer(svc_jobs("workspace", "verify", "-w", sliced, "--json"))["faults"] == []
    young = "data/44k/alice/wavs/new-0123abcd-5.wav"
    files.write_text(sliced / young, "x")
    assert answer(svc_jobs("workspace", "gc", "-w", sliced, "--json"))["unused"] == []


@pytest.mark.parametrize("command", [["ls", "-w"], ["du", "-w"], ["verify", "-w"], ["gc", "-w"], ["sync"], ["diff"]])
def test_a_folder_that_does_not_exist_is_named(svc_jobs, tmp_path, command):
    rest = [tmp_path / "b"] if command in (["sync"], ["diff"]) else []
    ran = svc_jobs("workspace", *command, tmp_path / "absent", *rest)
    assert ran.code == 66
    assert "absent is no folder" in ran.err


def test_other_urls_are_refused(svc_jobs):
    ran = svc_jobs("workspace", "ls", "-w", "gs://bucket")
    assert ran.code == 78
    assert "s3://" in ran.err


@pytest.mark.parametrize(("place", "sentence"), [("", "name is empty"), ("s3:/bucket/p", "write s3://bucket/prefix")])
@pytest.mark.parametrize(
    "command",
    [
        ["workspace", "sync", ".", "PLACE"],
        ["workspace", "gc", "--delete", "-w", "PLACE"],
        ["doctor", "-w", "PLACE"],
        ["prepare", "-w", "PLACE"],
        ["convert", "song.wav", "--speaker", "alice", "-w", "PLACE"],
        ["import41", ".", "-w", "PLACE"],
    ],
)
def test_a_name_that_is_no_place_is_78_and_makes_no_folder(svc_jobs, tmp_path, monkeypatch, command, place, sentence):
    monkeypatch.chdir(tmp_path)
    ran = svc_jobs(*(place if part == "PLACE" else part for part in command))
    assert ran.code == 78
    assert sentence in ran.err
    assert list(tmp_path.iterdir()) == []


def test_a_pull_that_brings_nothing_leaves_no_folder(svc_jobs, tmp_path):
    place = tmp_path / "new" / "w"
    ran = svc_jobs("hub", "pull", "raw", "--speaker", "alice", "--namespace", "nobody", "-w", place)
    assert ran.code != 0, ran.out  # tests are offline
    assert list(tmp_path.iterdir()) == []


def test_doctor_still_examines_a_folder(svc_jobs, tmp_path):
    findings = answer(svc_jobs("doctor", "-w", tmp_path, "--json"))["findings"]
    assert {"workspace", "disk", "config"} <= {finding["subject"] for finding in findings}
