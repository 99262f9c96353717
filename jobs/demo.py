"""`make demo`: the whole job on a few minutes of speech, in minutes, on two cores.

The speech is a Debian package of telephone prompts (Allison Smith, CC-BY-SA-3.0), fetched without root into lists and
caches of its own. Where it cannot be had, a synthetic speaker takes its place and the demo says so.
"""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import soundfile

from jobs.cli import run

PACKAGE = "asterisk-core-sounds-en-g722"
SOUNDS = "usr/share/asterisk/sounds/en_US_f_Allison"
PROMPTS = [
    "demo-instruct",
    "priv-callee-options",
    "demo-congrats",
    "basic-pbx-ivr-main",
    "demo-echotest",
    "conf-adminmenu-18",
    "conf-adminmenu-162",
    "screen-callee-options",
    "conf-adminmenu-menu8",
    "vm-options",
    "demo-moreinfo",
    "vm-msginstruct",
    "dir-intro-fn",
]
UNSEEN = "demo-abouttotry"
# Short clips: attention over long ones is most of the toy network's time.
FLAGS = "--preset toy --encoder mel-bands --f0 swift-f0 --min-length-ms 2000 --max-length-ms 6000"
RATE_HZ = 44_100


def main(folder: Path, extra: list[str]) -> int:
    """Runs the demo in `folder`; `extra` are more flags for `svc-jobs run`. Returns the exit code."""
    workspace, unseen = folder / "workspace", folder / "unseen"
    speaker = "allison" if fetch_prompts(folder) else "synthetic"
    place = workspace / "raw" / speaker
    if speaker == "synthetic":
        print(f"note: {PACKAGE} cannot be fetched here, so the demo uses a built-in synthetic speaker")  # noqa: T201
        source = synthesise(place, unseen)
    else:
        source = unpack(folder, place, unseen)
    code = run(["run", "-w", str(workspace), *FLAGS.split(), "--convert", str(source), *extra])
    if code == 0:
        voice = workspace / "converted" / speaker
        print(f"\nreport:    {workspace / 'reports' / speaker / 'index.html'}")  # noqa: T201
        print(f"converted: {', '.join(str(path) for path in sorted(voice.glob('*.*')))}")  # noqa: T201
        print(f"source:    {source} (not among the training recordings)")  # noqa: T201
    return code


def fetch_prompts(folder: Path) -> bool:
    """Downloads the package into `folder`; False where apt is absent or the package cannot be had."""
    apt = folder.resolve() / "apt"
    if list(apt.glob("*.deb")):
        return True
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        return False
    for name in ("lists/partial", "cache/archives/partial"):
        (apt / name).mkdir(parents=True, exist_ok=True)
    private = [f"Dir::State::lists={apt}/lists", f"Dir::Cache={apt}/cache", "APT::Sandbox::User="]
    options = ["-qq", *(part for option in private for part in ("-o", option))]
    print(f"fetching {PACKAGE} (11 MB)")  # noqa: T201
    for verb in (["update"], ["download", PACKAGE]):
        done = subprocess.run(["apt-get", *options, *verb], cwd=apt, capture_output=True, text=True, check=False)
        if done.returncode:
            return False
    return bool(list(apt.glob("*.deb")))


def unpack(folder: Path, place: Path, unseen: Path) -> Path:
    """Copies the prompts into the workspace and one that training never sees beside it; returns that one."""
    package = next(iter(sorted((folder / "apt").glob("*.deb"))))
    contents = folder / "apt" / "contents"
    subprocess.run(["dpkg-deb", "-x", str(package), str(contents)], check=True)
    place.mkdir(parents=True, exist_ok=True)
    unseen.mkdir(parents=True, exist_ok=True)
    for name in PROMPTS:
        shutil.copy2(contents / SOUNDS / f"{name}.g722", place)
    shutil.copy2(contents / SOUNDS / f"{UNSEEN}.g722", unseen)
    return unseen / f"{UNSEEN}.g722"


def synthesise(place: Path, unseen: Path) -> Path:
    """Writes ten 20-second recordings of a synthetic speaker, and one more that training does not see."""
    place.mkdir(parents=True, exist_ok=True)
    unseen.mkdir(parents=True, exist_ok=True)
    for seed in range(11):
        path = (place if seed else unseen) / f"take-{seed}.flac"
        if not path.exists():
            soundfile.write(path, speak(seed), RATE_HZ)
    return unseen / "take-0.flac"


def speak(seed: int, seconds: float = 20.0) -> np.ndarray:
    """Syllable-like tones [T] at 44.1 kHz: a gliding glottal pulse train through three wandering formants."""
    random = np.random.default_rng(seed)
    parts: list[np.ndarray] = []
    while sum(map(len, parts)) < seconds * RATE_HZ:
        parts += [_syllable(random), np.zeros(int(random.choice([0.03, 0.06, 0.5]) * RATE_HZ))]
    sound = np.concatenate(parts)[: int(seconds * RATE_HZ)]
    return (0.3 * sound / np.abs(sound).max() + 1e-4 * random.standard_normal(len(sound))).astype(np.float32)


def _syllable(random: np.random.Generator) -> np.ndarray:
    samples = int(random.uniform(0.15, 0.45) * RATE_HZ)
    pitch_hz = np.linspace(random.uniform(110, 220), random.uniform(110, 220), samples)
    phase = 2 * np.pi * np.cumsum(pitch_hz) / RATE_HZ
    formants_hz = random.uniform((300, 900, 2200), (800, 2000, 3000))
    sound = np.zeros(samples)
    for harmonic in range(1, 40):
        frequency_hz = harmonic * pitch_hz.mean()
        gain = sum(1 / (1 + ((frequency_hz - formant) / 120) ** 2) for formant in formants_hz) / harmonic**0.5
        sound += gain * np.sin(harmonic * phase)
    return sound * np.hanning(samples) ** 0.5


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
