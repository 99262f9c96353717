"""The command line's surface: quick help, one sentence per error, one exit code per kind."""

import json
import os
import subprocess
import sys

import pytest

from jobs.cli import COMMANDS, load_command


def test_help_imports_neither_torch_nor_the_stages():
    code = (
        "import sys; sys.argv = ['svc-jobs', '--help']\n"
        "from jobs.cli import run\n"
        "assert run(['--help']) == 0\n"
        "heavy = {'torch', 'numpy', 'pydantic', 'jobs.commands'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for name in COMMANDS:
        assert name in done.stdout


@pytest.mark.parametrize("name", [name for name in COMMANDS if name not in ("models", "workspace")])
def test_the_listed_help_is_the_commands_own(name):
    assert load_command(name).help == COMMANDS[name]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_flag_of_every_command_has_help(name):
    command = load_command(name)
    for inner in getattr(command, "commands", {name: command}).values():
        for parameter in inner.params:
            assert getattr(parameter, "help", None), f"{name}: {parameter.name}"


@pytest.mark.parametrize("name", ["slice", "features", "prepare", "filelists"])
def test_cpu_commands_do_not_import_torch_before_they_need_it(name):
    code = f"from jobs.cli import load_command\nload_command({name!r})\nimport sys\nassert 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "arguments", [["slice"], ["slice", "-w", "x", "--shard", "one"], ["nonsense"], ["run", "--no-such-flag"]]
)
def test_what_does_not_parse_exits_2(svc_jobs, monkeypatch, arguments):
    monkeypatch.delenv("SVC_WORKSPACE", raising=False)
    assert svc_jobs(*arguments).code == 2


def test_compat_takes_only_41(svc_jobs, recordings):
    ran = svc_jobs("prepare", "-w", recordings(count=1), "--compat", "3.0")
    assert (ran.code, "4.1" in ran.err) == (2, True)


@pytest.mark.parametrize("stage", ["slice", "filelists", "features", "train", "evaluate", "publish", "report"])
def test_a_stage_before_its_turn_says_what_to_run(svc_jobs, recordings, stage):
    ran = svc_jobs(stage, "-w", recordings(count=1, seconds=2))
    assert ran.code == 66
    assert "run prepare first" in ran.err
    assert ran.err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["--device", "gpu"], 78, "device 'gpu' is unknown"),
        (["--base", "x.pth"], 78, "--base wants G_0.pth,D_0.pth"),
        (["--convert", "absent.wav"], 66, "absent.wav does not exist"),
    ],
)
def test_run_refuses_what_its_last_stages_would_before_the_first(svc_jobs, recordings, arguments, code, sentence):
    root = recordings(count=1, seconds=2)
    ran = svc_jobs("run", "-w", root, *arguments)
    assert ran.code == code
    assert sentence in ran.err
    assert [path.name for path in root.iterdir()] == ["raw"]


def test_the_workspace_comes_from_the_environment_too(svc_jobs, recordings, monkeypatch):
    monkeypatch.setenv("SVC_WORKSPACE", str(recordings(count=1)))
    assert svc_jobs("prepare").code == 0


def test_json_is_one_object_on_stdout_and_lines_on_stderr(svc_jobs, recordings):
    root = recordings(count=1)
    ran = svc_jobs("prepare", "-w", root, "--json")
    answer = json.loads(ran.out)
    assert (answer["status"], answer["exit_code"], answer["stage"], answer["facts"]["voice"]) == (
        "done", 0, "prepare", "alice",
    )  # fmt: skip
    assert all(json.loads(line)["event"] for line in ran.err.splitlines())
    failed = svc_jobs("prepare", "-w", root, "--json", "--batch-size", "0")
    assert json.loads(failed.out)["exit_code"] == failed.code == 78


def test_quiet_says_nothing_when_all_is_well(svc_jobs, recordings):
    assert svc_jobs("prepare", "-w", recordings(count=1), "-q") == (0, "", "")


def test_all_mistakes_in_the_settings_come_together(svc_jobs, recordings):
    ran = svc_jobs("prepare", "-w", recordings(count=1), "--batch-size", "0", "--steps", "-1", "--f0", "pm")
    assert ran.code == 78
    assert ran.err.startswith("error: mistakes in the settings, correct them: ")
    for part in ("train.batch_size", "svc_jobs.steps", "f0_predictor 'pm' is unknown", "clips per step"):
        assert part in ran.err


def test_an_unknown_encoder_is_answered_with_the_names_of_the_flags_help(svc_jobs, recordings):
    ran = svc_jobs("prepare", "-w", recordings(count=1), "--encoder", "foo")
    assert ran.code == 78
    assert ran.err.rstrip().endswith(
        "use one of contentvec-768l12 (in a config vec768l12), contentvec-256l9 (in a config vec256l9), whisper-base, "
        "mel-bands"
    )


def test_a_read_only_folder_is_named_by_the_file_that_it_cannot_take(svc_jobs_process, recordings):
    root = recordings(count=1, seconds=1.0)
    folder = root / "data/44k"
    folder.mkdir(parents=True)
    folder.chmod(0o555)
    process = svc_jobs_process("prepare", "-w", root)
    said = process.communicate()[1]
    folder.chmod(0o755)
    assert process.returncode == 78
    assert f"{folder}/spk_map.json may not be written" in said


def test_help_states_what_is_chosen_without_a_flag_and_what_the_flag_takes(svc_jobs):
    text = " ".join(svc_jobs("prepare", "--help").out.split())
    assert "default as many as there are speakers" in text
    assert "for no maximum, set null in the config" in text


@pytest.mark.parametrize(
    "place", ["gs://bucket/prefix", "s3://", "s3://bucket//prefix", "s3://key:secret@bucket", "s3://b/p"]
)
def test_a_url_that_is_no_bucket_is_refused_in_a_sentence(svc_jobs, place):
    ran = svc_jobs("prepare", "-w", place)
    assert ran.code == 78
    assert "s3://bucket/prefix" in ran.err


def test_a_hand_edit_with_a_mistake_is_named(svc_jobs, recordings):
    root = recordings(count=1)
    assert svc_jobs("prepare", "-w", root).code == 0
    path = root / "app/configs/44k/config_colab_alice.json"
    path.write_text(path.read_text().replace('"batch_size": 6', '"batch_size": 6, "batch_sise": 4'))
    ran = svc_jobs("slice", "-w", root)
    assert ran.code == 78
    assert "train.batch_sise: unknown setting" in ran.err


def test_a_valid_hand_edit_is_the_new_setting_and_says_what_it_redoes(svc_jobs, recordings):
    root = recordings(count=1)
    svc_jobs("prepare", "-w", root)
    path = root / "app/configs/44k/config_colab_alice.json"
    path.write_text(path.read_text().replace('"swift-f0"', '"dio"'))
    ran = svc_jobs("prepare", "-w", root)
    assert ran.code == 0
    assert "f0 predictor changed: every .f0.npy and .uv.npy is made again" in ran.out
    assert '"dio"' in path.read_text()


def test_no_library_reports_on_its_use(svc_jobs, monkeypatch):
    names = ("ORT_DISABLE_TELEMETRY", "HF_HUB_DISABLE_TELEMETRY")
    for name in names:
        monkeypatch.delenv(name, raising=False)
    svc_jobs("--help")
    assert [os.environ[name] for name in names] == ["1", "1"]
