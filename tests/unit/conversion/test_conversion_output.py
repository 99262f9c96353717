import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from svc_core.conversion.output import check_output, write
from svc_core.errors import ConfigError

BLOCKS = [np.linspace(-1, 1, 1001, dtype=np.float32), np.zeros(0, np.float32), np.array([1.5, -1.5], np.float32)]


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".WAV"])
def test_writes_pcm16_block_by_block_and_counts_what_it_clips(tmp_path, suffix):
    written = write(tmp_path / f"new folder/out{suffix}", BLOCKS)
    made, rate_hz = soundfile.read(tmp_path / f"new folder/out{suffix}", dtype="int16")
    assert (rate_hz, made.ndim, written.samples, written.clipped_samples) == (44_100, 1, 1003, 2)
    assert made.tolist()[-2:] == [32_767, -32_767]
    assert np.array_equal(made[:1001], np.rint(BLOCKS[0] * 32_767))
    assert [path.name for path in (tmp_path / "new folder").iterdir()] == [f"out{suffix}"]


@pytest.mark.parametrize("suffix", [".wav", ".flac"])
def test_equal_samples_give_equal_bytes(tmp_path, suffix):
    names = [tmp_path / f"{name}{suffix}" for name in ("a", "b-other-name")]
    hashes = {write(name, BLOCKS).sha256 for name in names}
    assert len(hashes) == 1
    assert names[0].read_bytes() == names[1].read_bytes()


def test_nothing_is_left_when_the_samples_fail(tmp_path):
    def failing():
        yield BLOCKS[0]
        raise KeyError("the network")

    with pytest.raises(KeyError):
        write(tmp_path / "out.wav", failing())
    assert not list(tmp_path.iterdir())


def test_refuses_outputs_that_cannot_be(tmp_path):
    source = tmp_path / "song.wav"
    write(source, BLOCKS)
    (tmp_path / "folder.wav").mkdir()
    for output, problem in [
        (tmp_path / "out.mp3", "must end in .wav or .flac"),
        (tmp_path / "folder.wav", "is a folder"),
        (source, "is the source itself"),
        (source / "out.wav", "is a file"),
    ]:
        with pytest.raises(ConfigError, match=problem):
            check_output(source, output)
    (tmp_path / "link.wav").symlink_to(source)
    with pytest.raises(ConfigError, match="is the source itself"):
        check_output(source, tmp_path / "link.wav")


LIMITED = """
import resource, signal, sys
from pathlib import Path
import numpy as np
from svc_core.conversion.output import write
from svc_core.errors import SvcError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
noise = np.random.default_rng(0).uniform(-1, 1, 200_000).astype(np.float32)
try:
    write(Path(sys.argv[1]), [noise])
except SvcError as error:
    print(error.exit_code, error)
"""


@pytest.mark.parametrize("suffix", [".wav", ".flac"])
def test_a_full_disk_is_transient_and_leaves_nothing(tmp_path, suffix):
    # A limit on the size of a file fails in the same call as a full disk does.
    command = [sys.executable, "-c", LIMITED, str(tmp_path / f"out{suffix}")]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    said = subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout
    assert said.startswith("75 ")
    assert "free some disk space" in said
    assert not list(tmp_path.iterdir())


READ_ONLY = """
import sys
from pathlib import Path
from svc_core.conversion.output import check_output
from svc_core.errors import SvcError
try:
    check_output(Path(sys.argv[1]), Path(sys.argv[2]))
except SvcError as error:
    print(error.exit_code, error)
"""


def test_a_read_only_folder_is_a_matter_of_configuration(tmp_path):
    folder = tmp_path / "closed"
    folder.mkdir(mode=0o555)
    # Root may write everywhere: without that power the test means the same to every user.
    plain = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"] if os.geteuid() == 0 else []
    command = [*plain, sys.executable, "-c", READ_ONLY, str(tmp_path / "in.wav"), str(folder / "new" / "out.wav")]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    said = subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout
    assert said.startswith("78 ")
    assert "may not be written" in said
