"""Texts of a cluster: labels, quantities, and the lines of its logs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.cluster.events import last_reading, readable
from jobs.cluster.pods import quantity
from jobs.cluster.workflow import label_of


@given(st.text(max_size=80))
def test_a_label_is_one_that_kubernetes_takes(name):
    label = label_of(name)
    assert len(label) <= 63
    assert all(char.isascii() and (char.isalnum() or char in "-_.") for char in label)


@pytest.mark.parametrize(("text", "value"), [("500m", 0.5), ("2", 2), ("1Gi", 2**30), ("0", 0), ("many", 0)])
def test_quantities(text, value):
    assert quantity(text) == value


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ('{"event": "note", "text": "one poison file"}', "one poison file"),
        ('{"event": "warning", "text": "slow"}', "warning: slow"),
        ('{"event": "stage", "stage": "slice", "message": "sliced: 4 clips"}', "slice: sliced: 4 clips"),
        ('{"status": "error", "exit_code": 66, "error": "no audio"}', "error: no audio"),
        ('{"status": "done", "exit_code": 0, "stage": "slice", "message": "sliced: 4 clips"}', None),
        ('{"event": "traceback", "text": "Traceback"}', "Traceback"),
        ('{"event": null, "status": 1}', '{"event": null, "status": 1}'),
        ("Traceback (most recent call last):", "Traceback (most recent call last):"),
        ('{"event": "progress", "task": "train"}', '{"event": "progress", "task": "train"}'),
        ("{not JSON", "{not JSON"),
        ('time=2026 level=INFO msg="waiting for signals" argo=true', None),
        ("Error: exit status 66", None),
        ("Error: exit status 66 was meant", "Error: exit status 66 was meant"),
        ('time=2026 level=ERROR msg="broken" argo=true', 'time=2026 level=ERROR msg="broken" argo=true'),
    ],
)
def test_log_lines_are_made_readable(line, text):
    assert readable(line) == text


@given(st.text())
def test_any_log_can_be_read(log):
    last_reading(log)
    readable(log)
