"""The Hub as the cache of `run`: asked before a stage, told after it.

Only files and records are restored. Whether they are valid is the stage's own question, which it asks anyway: so
nothing that came from the Hub counts for more than what lies here.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from jobs.session import Session
from svc_core import consent, layout
from svc_core import hub as hubs
from svc_core.consent import Use
from svc_core.errors import Preempted, SvcError, Transient
from svc_core.hub import Hub, Pulled, Pushed
from svc_core.hub.errors import Absent
from svc_core.hub.features import pull_model_pins


class HubCache:
    """A namespace of the Hub beside the workspace of a run. Raises ConfigError where it may not be written."""

    def __init__(self, session: Session, hub: Hub, named: list[str]) -> None:
        hub.check_writable()
        self._session, self._workspace, self._hub, self._named = session, session.workspace, hub, named
        self._failures: list[str] = []
        self._pulls: dict[str, Callable[[], None]] = {
            "prepare": self._pull_raw,
            "slice": self._pull_clips,
            "features": self._pull_features,
        }
        self._pushes: dict[str, Callable[[], None]] = {
            "prepare": lambda: self._push(hubs.push_raw, self._with_raw()),
            # After the lists, since a clip's row says on which side it is.
            "filelists": lambda: self._push(hubs.push_sliced, self._speakers()),
            "features": lambda: self._push(hubs.push_features, self._speakers()),
            "publish": self._push_model,
        }

    def before(self, stage: str) -> None:
        """Brings what the stage would make, where the Hub has it from these very inputs and settings.

        Where the Hub fails the stage does its work; only recordings that are nowhere else are worth an error.
        """
        if stage not in self._pulls:
            return
        try:
            with self._workspace.holding("hub", stage):
                self._pulls[stage]()
        except Preempted:
            raise
        except SvcError as error:
            if stage == "prepare":
                raise
            self._session.console.warn(f"nothing is taken from the Hub for {stage}: {error}")

    def after(self, stage: str) -> None:
        """Sends what is new. A push that fails is kept for the end."""
        if stage in self._pushes:
            self._pushes[stage]()

    def finish(self) -> None:
        """Raises Transient where something could not be sent."""
        if self._failures:
            raise Transient(
                f"the run is done, and {len(self._failures)} pushes to the Hub failed: run the same command again to "
                f"send the rest; the first: {self._failures[0]}"
            )

    def _pull_raw(self) -> None:
        self._workspace.bring([layout.SPEAKER_MAP])
        for speaker in self._named or self._known():
            if next(iter(self._workspace.raw.files(layout.check_speaker(speaker))), None) is None:
                self._pull(hubs.pull_raw, speaker)

    def _pull_clips(self) -> None:
        from jobs.stages.slice import current
        from svc_core.audio.prepare import settings_fingerprint

        plan, config = self._session.slice_plan(), self._session.config()
        settings = settings_fingerprint(config.svc_jobs.slice, config.svc_jobs.loudness)
        recordings = plan.to_slice()
        self._workspace.bring(layout.slice_manifest(recording.key) for recording in recordings)
        missing: dict[str, dict[str, str]] = {}
        for recording in recordings:
            if current(self._workspace, recording, config) is None:
                sha256 = recording.sha256 or self._workspace.raw.sha256(recording.key)
                missing.setdefault(recording.speaker, {})[recording.key] = sha256
        for speaker, wanted in missing.items():
            self._pull(hubs.pull_sliced, speaker, made_from=wanted, settings=settings)

    def _pull_features(self) -> None:
        # Late, as in all of this: a machine that only moves clips has no torch.
        from jobs import reads
        from svc_core.features.extract import fingerprints

        config = self._session.config()
        pins = [key for key in reads.model_pins(config) if key not in self._workspace.keys(layout.model_pins_dir())]
        for speaker in self._speakers():
            wanted = self._stale(speaker)
            if not wanted:
                continue
            if pins:
                self._pull(pull_model_pins, speaker, keys=pins)
            parts = fingerprints(config, self._session.root)
            pulled = self._pull(hubs.pull_features, speaker, made_from=wanted, parts=parts)
            if pulled is None or not pulled.files:
                # Pins without anything made with them would only forbid this machine's own models.
                self._workspace.drop(pins)
            else:
                pins = []

    def _stale(self, speaker: str) -> dict[str, str]:
        """Clips of which some part is to be made: key of the wav -> sha256."""
        from jobs import reads
        from svc_core.features.extract import ClipFeatures, fingerprints, stale_parts

        clips = [clip for clip in self._session.filelists().clips if clip.speaker == speaker]
        self._workspace.bring(
            [*reads.model_pins(self._session.config()), *(layout.features_manifest(clip.key) for clip in clips)]
        )
        wanted = fingerprints(self._session.config(), self._session.root)
        found = {}
        for clip in clips:
            before = ClipFeatures.read(self._session.root / layout.features_manifest(clip.key))
            if stale_parts(self._workspace.check, clip.file, before, wanted).parts:
                found[clip.key] = clip.file.sha256
        return found

    def _push(self, push: Callable[[Any, str, Hub], Pushed], names: list[str]) -> None:
        for name in names:
            try:
                pushed = push(self._workspace, name, self._hub)
            except Preempted:
                raise
            except SvcError as error:
                self._failures.append(str(error))
                self._session.console.warn(f"a push to the Hub failed, the run goes on: {error}")
                continue
            if not pushed.already:
                size = f"{pushed.files} files, {pushed.bytes / 1e6:.1f} MB"
                self._session.console.say(f"{'hub':>9}  pushed: {size} to {pushed.repo}")

    def _push_model(self) -> None:
        config = self._session.config()
        self._workspace.bring(layout.consent_key(speaker) for speaker in config.spk)
        if lacking := consent.lacking(self._session.root, config.spk, Use.SHARE_MODEL):
            who = ", ".join(lacking)
            self._session.console.say(f"{'hub':>9}  the model stays here: no consent of {who} to sharing is recorded")
            return
        self._push(hubs.push_model, [config.svc_jobs.voice])

    def _pull(self, pull: Callable[..., Pulled], speaker: str, **options: Any) -> Pulled | None:
        """None where the Hub has no such repository."""
        try:
            pulled = pull(self._workspace, speaker, self._hub, **options)
        except Absent:
            return None
        if pulled.files:
            size = f"{pulled.files} files, {pulled.bytes / 1e6:.1f} MB"
            where = f"{pulled.repo} at {pulled.revision[:12]}"
            self._session.console.say(f"{'hub':>9}  pulled: {size} from {where}")
        return pulled

    def _speakers(self) -> list[str]:
        return list(self._session.config().spk)

    def _with_raw(self) -> list[str]:
        gone = self._session.slice_plan().speakers_without_raw
        return [speaker for speaker in self._speakers() if speaker not in gone]

    def _known(self) -> list[str]:
        from svc_core.speakers import read_speaker_map

        return list(read_speaker_map(self._session.root))


def open_hub(namespace: str, *, private: bool = True) -> Hub:
    """The Hub that the library's variables lead to, without its own bars and warnings on stderr."""
    from huggingface_hub import logging
    from huggingface_hub.utils import disable_progress_bars

    logging.set_verbosity_error()
    disable_progress_bars()
    hub = Hub(namespace, private=private)
    hub.check_online()
    return hub


def make_folder(workspace: str) -> None:
    """On a fresh machine the workspace's folder comes with what is pulled into it."""
    if "://" not in workspace and not Path(workspace).expanduser().exists():
        Path(workspace).expanduser().mkdir(parents=True)
