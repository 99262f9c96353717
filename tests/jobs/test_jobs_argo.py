"""What Argo reads of a stage: output parameters and progress."""

import os
import time

import pytest

from jobs import argo


def test_each_short_figure_becomes_a_file(tmp_path, monkeypatch, svc_jobs, recordings):
    monkeypatch.setenv("SVC_OUTPUTS", str(tmp_path / "outputs"))
    assert svc_jobs("prepare", "-w", recordings(count=2)).code == 0
    written = {path.name: path.read_text() for path in (tmp_path / "outputs").iterdir()}
    assert written["shards"] == "1"
    assert written["recordings"] == "2"
    assert written["message"].startswith("planned: 2 recordings")
    assert "unusable" not in written, "lists are no parameters"


def test_nothing_is_written_where_nobody_asks(tmp_path, monkeypatch):
    monkeypatch.delenv("SVC_OUTPUTS", raising=False)
    monkeypatch.delenv("ARGO_PROGRESS_FILE", raising=False)
    monkeypatch.chdir(tmp_path)
    argo.write_outputs("done", {"clips": 3})
    argo.report_progress(0.5)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("share", "text"), [(0, "0/1000"), (0.25, "250/1000"), (1, "1000/1000"), (1.5, "1000/1000")])
def test_progress_is_a_share_in_whole_numbers(tmp_path, monkeypatch, share, text):
    monkeypatch.setenv("ARGO_PROGRESS_FILE", str(tmp_path / "progress"))
    argo.report_progress(share)
    assert (tmp_path / "progress").read_text().strip() == text


def test_a_failure_leaves_its_sentence_where_kubernetes_looks(tmp_path, monkeypatch, svc_jobs):
    log = tmp_path / "termination-log"
    log.write_text("")
    monkeypatch.setenv("SVC_FAILURE_FILE", str(log))
    ran = svc_jobs("prepare", "-w", tmp_path / "nowhere")
    assert ran.code == 66
    assert log.read_text() in ran.err
    assert "does not exist" in log.read_text()


def test_a_termination_log_that_cannot_be_written_changes_nothing(tmp_path, monkeypatch, svc_jobs):
    monkeypatch.setenv("SVC_FAILURE_FILE", str(tmp_path / "absent" / "log"))
    assert svc_jobs("prepare", "-w", tmp_path / "nowhere").code == 66


def test_a_killed_stage_has_said_how_much_memory_it_had(tmp_path, monkeypatch, svc_jobs_process, recordings):
    log = tmp_path / "termination-log"
    log.write_text("")
    workspace = recordings()
    settings = {"SVC_FAILURE_FILE": str(log), "SVC_MEMORY_LIMIT": "512Mi"}
    process = svc_jobs_process("prepare", "-w", workspace, env={**os.environ, **settings})
    while not log.read_text() and process.poll() is None:
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert "memory limit of 512Mi" in log.read_text()


@pytest.mark.parametrize(("arguments", "said"), [(["--help"], ""), (["prepare", "--nonsense"], "does not parse")])
def test_an_end_of_our_own_writes_over_it(tmp_path, monkeypatch, svc_jobs, arguments, said):
    log = tmp_path / "termination-log"
    log.write_text("")
    monkeypatch.setenv("SVC_FAILURE_FILE", str(log))
    monkeypatch.setenv("SVC_MEMORY_LIMIT", "512Mi")
    svc_jobs(*arguments)
    assert said in log.read_text()
    assert "512Mi" not in log.read_text()


def test_a_file_is_offered_only_where_argo_is_there(tmp_path, monkeypatch):
    page = tmp_path / "page"
    page.write_text("hello")
    monkeypatch.delenv("SVC_OUTPUTS", raising=False)
    argo.offer_file("report.html", lambda: pytest.fail("asked for nobody"))
    monkeypatch.setenv("SVC_OUTPUTS", str(tmp_path / "outputs"))
    argo.offer_file("report.html", lambda: page)
    assert (tmp_path / "outputs" / "report.html").read_text() == "hello"
