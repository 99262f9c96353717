"""What Argo reads of a stage: output parameters and progress."""

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
