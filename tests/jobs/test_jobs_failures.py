"""The last frame: what people read, what machines read, and that each failure is said once."""

import json

import pytest

from jobs.failures import Answered, report_failure
from svc_core.errors import BadInput, ConfigError, Preempted


@pytest.mark.parametrize(
    ("error", "kind", "code"),
    [
        (BadInput("no audio"), "error", 66),
        (Preempted("step 8 is saved"), "stopped", 75),
        (PermissionError(13, "Permission denied", "raw"), "error", 78),
        (Answered("two checks failed", ConfigError.exit_code, {}), "error", 78),
    ],
)
def test_a_failure_is_said_once_to_people_or_to_machines(capsys, error, kind, code):
    assert report_failure(error, ["slice"]) == code
    said = capsys.readouterr()
    assert (said.out, said.err.startswith(f"{kind}: "), said.err.count("\n")) == ("", True, 1)
    assert report_failure(error, ["slice", "--json"]) == code
    said = capsys.readouterr()
    answer = json.loads(said.out)
    assert (said.err, answer["status"], answer["exit_code"], bool(answer["error"])) == ("", kind, code, True)


def test_a_bug_shows_its_traceback_as_text_or_as_an_event(capsys):
    with pytest.raises(KeyError) as raised:
        raise KeyError("f0")
    assert report_failure(raised.value, []) == report_failure(raised.value, ["--json"]) == 70
    said = capsys.readouterr()
    *text, event = said.err.splitlines()
    assert text[0].startswith("Traceback")
    assert text[-1].startswith("error: KeyError: 'f0'; this is a bug of svc-jobs")
    assert json.loads(event)["event"] == "traceback"
    assert "test_jobs_failures.py" in json.loads(event)["text"]
    assert json.loads(said.out)["exit_code"] == 70


def test_facts_of_a_failure_are_in_the_answer(capsys):
    report_failure(Answered("slice failed", 66, {"workflow": "svc-x", "exit_code": 66}), ["--json"])
    assert json.loads(capsys.readouterr().out) == {
        "status": "error", "exit_code": 66, "error": "slice failed", "workflow": "svc-x",
    }  # fmt: skip


def test_a_failing_doctor_answers_with_its_findings(svc_jobs, tmp_path):
    ran = svc_jobs("doctor", "-w", tmp_path / "absent", "--json")
    answer = json.loads(ran.out)
    assert (ran.code, answer["exit_code"], answer["status"], ran.err) == (78, 78, "error", "")
    assert {item["level"] for item in answer["findings"]} >= {"ok", "fail"}
    said = svc_jobs("doctor", "-w", tmp_path / "absent")
    assert said.code == 78
    assert any(line.startswith("fail  workspace ") for line in said.out.splitlines())
    assert said.err.startswith("error: workspace: ")
    assert svc_jobs("doctor", "-w", tmp_path / "absent", "-q").out == ""
