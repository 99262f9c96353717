import shutil

import pytest
import soundfile
from small_run import SETTINGS, write_recordings


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """One finished run; tests that change it work on a copy."""
    from jobs.cli import run
    from jobs.demo import RATE_HZ, speak

    root = tmp_path_factory.mktemp("run") / "w"
    write_recordings(root)
    soundfile.write(root.parent / "song.wav", speak(99, 4.3)[: 4 * RATE_HZ + 7], RATE_HZ)
    assert run(["run", "-w", str(root), *SETTINGS, "--convert", str(root.parent / "song.wav"), "-q"]) == 0
    return root


@pytest.fixture
def copied(finished, tmp_path):
    root = tmp_path / "w"
    shutil.copytree(finished, root)
    shutil.copy2(finished.parent / "song.wav", tmp_path)
    return root
