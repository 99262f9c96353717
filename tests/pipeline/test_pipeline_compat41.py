"""A workspace as 4.1 trains from it, and back: the same clips, ids and lists, and sidecars that come out the same."""

import json
import os
import secrets
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from small_run import SETTINGS, content

from svc_core import layout
from svc_core.features import sidecar


@pytest.fixture
def exported(svc_jobs, finished, tmp_path):
    """An export of the finished run, and what the command said."""
    ran = svc_jobs("export41", tmp_path / "tree", "-w", finished, "--json")
    assert ran.code == 0, ran.err
    return tmp_path / "tree", json.loads(ran.out)


def files_of(tree: Path) -> dict[str, bytes]:
    return {path.relative_to(tree).as_posix(): path.read_bytes() for path in tree.rglob("*") if path.is_file()}


def test_it_is_read_as_4_1_reads_it(exported, finished, monkeypatch):
    """The loader of FORMATS 6, from its words: every path is relative to the tree, the speaker is the parent folder."""
    tree, said = exported
    config = json.loads((tree / "configs/config.json").read_text())
    assert set(config) == {"train", "data", "model", "spk"}
    monkeypatch.chdir(tree)
    seen = []
    for name in ("training_files", "validation_files"):
        for line in Path(config["data"][name]).read_text(encoding="utf-8").splitlines():
            path = line.strip().split("|")[0]
            assert config["spk"][path.split("/")[-2]] == 0
            samples, rate_hz = soundfile.read(path, dtype="int16")
            assert (rate_hz, samples.ndim) == (44_100, 1)
            spec = torch.load(path.replace(".wav", ".spec.pt"), weights_only=True)
            f0, uv = np.load(path + ".f0.npy", allow_pickle=True)
            f0, uv = torch.FloatTensor(np.array(f0, dtype=float)), torch.FloatTensor(np.array(uv, dtype=float))
            c = torch.load(path + ".soft.pt", weights_only=True)
            volume = np.load(path + ".vol.npy")
            frames = len(samples) // 512
            assert spec.shape == (1025, frames)
            assert len(f0) == len(uv) == len(volume) == frames
            assert c.shape[:2] == (1, config["model"]["ssl_dim"])
            ours = sidecar.read_all(finished, layout.wav_key("alice", Path(path).stem))
            assert np.array_equal(f0.numpy(), ours.f0_hz)
            assert np.array_equal(uv.numpy(), ours.uv)
            assert np.array_equal(spec.numpy(), ours.spec)
            assert np.array_equal(c[0].numpy(), ours.content)
            assert np.array_equal(volume, ours.volume)
            seen.append(Path(path).stem)
    assert sorted(seen) == sorted(path.stem for path in (finished / "data/44k/alice/wavs").glob("*.wav"))
    assert said["clips"] == len(seen)
    assert "to convert with" in " ".join(said["notes"])


def test_the_packed_pitch_is_an_array_of_python_floats(exported):
    tree, _ = exported
    for path in tree.rglob("*.f0.npy"):
        packed = np.load(path, allow_pickle=True)
        assert (packed.dtype, packed.shape[0], packed.ndim) == (np.dtype(object), 2, 2)
        assert {type(value) for value in packed.flat} == {float}


def test_again_writes_nothing_and_touches_nothing_of_others(svc_jobs, exported, finished):
    tree, _ = exported
    (tree / "logs/44k").mkdir(parents=True)
    (tree / "logs/44k/G_800.pth").write_bytes(b"trained by 4.1")
    before = {path: path.stat().st_mtime_ns for path in tree.rglob("*") if path.is_file() and path.name[:4] != "svc-"}
    ran = svc_jobs("export41", tree, "-w", finished, "--json")
    assert (ran.code, json.loads(ran.out)["written"]) == (0, 0)
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_equal_workspaces_give_equal_trees(svc_jobs, exported, copied, tmp_path):
    assert svc_jobs("export41", tmp_path / "other", "-w", copied, "-q").code == 0
    assert files_of(tmp_path / "other") == files_of(exported[0])


def test_a_clip_that_is_gone_leaves_the_export_but_not_what_was_changed(svc_jobs, exported, copied):
    tree, _ = exported
    plan = json.loads((copied / layout.FILELISTS_PLAN).read_text())
    gone = next(clip for clip in plan["clips"] if clip["side"] == "train")
    plan["clips"].remove(gone)
    (copied / layout.FILELISTS_PLAN).write_text(json.dumps(plan))
    stem = Path(gone["file"]["key"]).stem
    (tree / f"dataset/44k/alice/{stem}.wav.soft.pt").write_bytes(b"mine")
    ran = svc_jobs("export41", tree, "-w", copied, "--json")
    answer = json.loads(ran.out)
    assert answer["kept"] == [f"dataset/44k/alice/{stem}.wav.soft.pt"]
    assert answer["removed"] == 4
    assert not (tree / f"dataset/44k/alice/{stem}.wav").exists()
    assert (tree / f"dataset/44k/alice/{stem}.wav.soft.pt").read_bytes() == b"mine"


def test_what_is_not_ours_is_refused(svc_jobs, finished, exported, tmp_path):
    other = tmp_path / "somebody's"
    other.mkdir()
    (other / "thesis.txt").write_text("x")
    for place, text in ((other, "no earlier export"), (other / "thesis.txt", "is a file")):
        ran = svc_jobs("export41", place, "-w", finished)
        assert (ran.code, text in ran.err) == (78, True)
    assert files_of(other) == {"thesis.txt": b"x"}
    tree, _ = exported
    (tree / "configs/config.json").write_text("{}")
    ran = svc_jobs("export41", tree, "-w", finished)
    assert (ran.code, "changed since" in ran.err) == (78, True)
    assert (tree / "configs/config.json").read_text() == "{}"


def test_an_export_that_was_killed_goes_on(svc_jobs, exported, finished):
    tree, _ = exported
    whole = files_of(tree)
    marker = json.loads(whole["svc-jobs-export.json"])
    marker["files"] = dict.fromkeys(marker["files"])
    (tree / "svc-jobs-export.json").write_text(json.dumps(marker))
    for number, name in enumerate(sorted(whole)):
        if number % 2 and name != "svc-jobs-export.json":
            (tree / name).unlink()
    assert svc_jobs("export41", tree, "-w", finished, "-q").code == 0
    assert files_of(tree) == whole


def test_a_missing_sidecar_is_66_and_named(svc_jobs, copied, tmp_path):
    path = next((copied / "data/44k/alice/wavs").glob("*.uv.npy"))
    path.unlink()
    ran = svc_jobs("export41", tmp_path / "tree", "-w", copied)
    assert ran.code == 66
    assert path.name in ran.err


def test_an_imported_tree_trains_on_the_same_data(svc_jobs, exported, finished, tmp_path):
    tree, _ = exported
    root = tmp_path / "back"
    ran = svc_jobs("import41", tree, "-w", root, "--json")
    assert ran.code == 0, ran.err
    answer = json.loads(ran.out)
    assert (answer["voice"], answer["speakers"], answer["left_out"]) == ("alice", {"alice": 0}, [])
    assert content(root, "data/44k") == {
        key: value for key, value in content(finished, "data/44k").items() if key.endswith((".wav", ".json"))
    }
    for stage in (["prepare", *SETTINGS[:-2], "--steps", "2"], ["slice"], ["filelists"]):
        ran = svc_jobs(stage[0], "-w", root, *stage[1:])
        assert ran.code == 0, ran.err
    for key in (layout.TRAIN_LIST, layout.VAL_LIST):
        assert (root / key).read_bytes() == (finished / key).read_bytes()
    assert svc_jobs("features", "-w", root, "--device", "cpu", "-q").code == 0
    assert content(root, "data/44k") == content(finished, "data/44k")
    assert svc_jobs("train", "-w", root, "--device", "cpu", "-q").code == 0
    assert svc_jobs("workspace", "verify", "-w", root, "-q").code == 0
    ran = svc_jobs("import41", tree, "-w", root)
    assert (ran.code, "already" in ran.err) == (78, True)


def small_tree(root: Path, speakers: dict[str, int], **config) -> Path:
    for speaker, count in speakers.items():
        (root / "dataset/44k" / speaker).mkdir(parents=True)
        for number in range(count):
            tone = np.sin(np.arange(44_100 + 1000 * number + len(speaker)) / 20) / 2
            soundfile.write(root / f"dataset/44k/{speaker}/Take {number}.wav", tone, 44_100, subtype="PCM_16")
    (root / "configs").mkdir()
    blocks = {"train": {}, "data": {}, "model": {"speech_encoder": "vec256l9", "ssl_dim": 256, "gin_channels": 256}}
    (root / "configs/config.json").write_text(json.dumps({**blocks, "spk": {"Böb": 1, "Anna": 0}, **config}))
    return root


def test_a_foreign_tree_keeps_its_ids_and_says_what_it_left_out(svc_jobs, tmp_path):
    tree = small_tree(
        tmp_path / "tree",
        {"Anna": 4, "Böb": 3},
        train={"fp16_run": True, "batch_size": 4, "fork_setting": 1},
        model={"speech_encoder": "vec256l9", "ssl_dim": 256, "gin_channels": 256, "n_speakers": 200},
    )
    anna = tree / "dataset/44k/Anna"
    (anna / "copy.wav").write_bytes((anna / "Take 0.wav").read_bytes())
    soundfile.write(anna / "stereo.wav", np.zeros((4410, 2)), 44_100)
    # A pickle that would run: it is not even opened.
    (anna / "Take 0.wav.f0.npy").write_bytes(b"\x93NUMPY" + b"cos\nsystem\n(S'touch canary'\ntR.")
    (tree / "filelists").mkdir()
    lines = ["./dataset/44k/Anna/Take 0.wav", ".\\dataset\\44k\\Anna\\Take 1.wav|x", "./dataset/44k/Anna/none.wav"]
    (tree / "filelists/train.txt").write_bytes("\n".join([*lines, "\x1b[31m"]).encode() + b"\xff")
    (tree / "filelists/val.txt").write_text("./dataset/44k/Anna/Take 2.wav\n./dataset/44k/Anna/Take 3.wav\n")
    ran = svc_jobs("import41", tree, "-w", tmp_path / "w", "--voice", "duet", "--json")
    assert ran.code == 0, ran.err
    answer = json.loads(ran.out)
    assert answer["speakers"] == {"Anna": 0, "Böb": 1}
    assert answer["clips"] == 7
    assert len(answer["left_out"]) == 4
    said = " ".join([*answer["left_out"], *answer["notes"]])
    for text in ("copy.wav", "stereo.wav is not mono PCM16", "none.wav', which was not taken", "fork_setting", "fp32"):
        assert text in said
    assert "\x1b" not in said
    config = json.loads((tmp_path / "w" / layout.config_key("duet")).read_text())
    assert (config["train"]["batch_size"], config["model"]["n_speakers"]) == (4, 200)
    for stage in ("prepare", "slice", "filelists"):
        ran = svc_jobs(stage, "-w", tmp_path / "w")
        assert ran.code == 0, ran.err
    listed = (tmp_path / "w" / layout.TRAIN_LIST).read_text()
    assert "Anna/wavs/take-0-" in listed
    assert "Anna/wavs/take-1-" in listed
    assert not Path("canary").exists()


NO_NUMBER = json.dumps({"train": {}, "data": {}, "model": {"n_speakers": "many"}})


@pytest.mark.parametrize(
    ("break_it", "code", "text"),
    [
        (lambda tree: (tree / "configs/config.json").unlink(), 66, "does not exist"),
        (lambda tree: (tree / "configs/config.json").write_text("{"), 78, "is not JSON"),
        (lambda tree: (tree / "configs/config.json").write_text("{}"), 78, "lacks the blocks"),
        (lambda tree: (tree / "configs/config.json").write_text("[" * 200_000), 78, "is not JSON"),
        (lambda tree: (tree / "configs/config.json").write_text(NO_NUMBER), 78, "model.n_speakers"),
        (lambda tree: [path.unlink() for path in tree.rglob("*.wav")], 66, "holds no clip"),
        (lambda tree: (tree / "dataset").rename(tree / "data"), 66, "no speaker's folder"),
        (lambda tree: (tree / "dataset/44k/Anna").rename(tree / "dataset/44k/a|b"), 78, "speaker name"),
    ],
)
def test_a_tree_that_is_none_is_said_and_leaves_no_voice(svc_jobs, tmp_path, break_it, code, text):
    tree = small_tree(tmp_path / "tree", {"Anna": 3})
    break_it(tree)
    ran = svc_jobs("import41", tree, "-w", tmp_path / "w", "--voice", "x")
    assert (ran.code, text in ran.err) == (code, True), ran.err
    assert not (tmp_path / "w").exists()
    assert (
        svc_jobs("import41", small_tree(tmp_path / "good", {"Anna": 3}), "-w", tmp_path / "w", "--voice", "x").code == 0
    )


def test_a_model_becomes_plain_weights_that_convert(svc_jobs, copied, tmp_path):
    release = copied / "models/alice"
    saved = torch.load(release / "G_6.pth", weights_only=True)
    wild = tmp_path / "G_6.pth"
    torch.save({**saved, "iteration": np.int64(6), "learning_rate": np.float64(1e-4)}, wild)
    ran = svc_jobs("import41", wild, "-o", tmp_path / "plain.pth")
    assert ran.code == 0, ran.err
    assert f"{len(saved['model'])} tensors" in ran.out
    arguments = ["--speaker", "alice", "--device", "cpu", "--config", release / "config.json"]
    made = []
    for model in (tmp_path / "plain.pth", release / "G_6.pth"):
        output = tmp_path / f"{model.stem}.wav"
        assert svc_jobs("convert", tmp_path / "song.wav", "--model", model, *arguments, "-o", output).code == 0
        made.append(output.read_bytes())
    assert made[0] == made[1]


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["{tree}"], 78, "-w"),
        (["{tree}", "-o", "x.pth"], 78, "-w"),
        (["{file}"], 78, "-o"),
        (["{file}", "-o", "x.zip"], 78, "must end in"),
        (["nowhere"], 66, "does not exist"),
    ],
)
def test_what_is_missing_on_the_command_line_is_said(svc_jobs, tmp_path, arguments, code, text):
    (tmp_path / "tree").mkdir()
    (tmp_path / "G.pth").write_bytes(b"")
    filled = [one.format(tree=tmp_path / "tree", file=tmp_path / "G.pth") for one in arguments]
    ran = svc_jobs("import41", *filled)
    assert (ran.code, text in ran.err) == (code, True), ran.err


def test_a_refusal_on_the_command_line_is_66_and_names_the_call(svc_jobs, tmp_path):
    (tmp_path / "G_0.pth").write_bytes(b"cos\nsystem\n(S'touch canary'\ntR.")
    ran = svc_jobs("import41", tmp_path / "G_0.pth", "-o", tmp_path / "out.pth")
    assert ran.code == 66
    assert "wants to run os.system" in ran.err
    assert not os.path.exists("canary")  # noqa: PTH110


def test_from_and_into_a_bucket(svc_jobs, finished, seaweed, aws, exported, tmp_path):
    aws(seaweed)
    place = f"s3://{seaweed.bucket}/compat41-{secrets.token_hex(4)}"
    assert svc_jobs("import41", exported[0], "-w", place, "-q").code == 0
    for stage in (["prepare", "--f0", "dio"], ["slice"], ["filelists"], ["features", "--device", "cpu"]):
        ran = svc_jobs(stage[0], "-w", place, *stage[1:], "-q")
        assert ran.code == 0, ran.err
    assert svc_jobs("export41", tmp_path / "again", "-w", place, "-q").code == 0
    first, second = files_of(exported[0]), files_of(tmp_path / "again")
    for name in ("configs/config.json", "svc-jobs-export.json"):
        first.pop(name), second.pop(name)
    assert first == second
