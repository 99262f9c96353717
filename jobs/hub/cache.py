"""The Hub as the cache of `run`: asked before a stage, told after it.

Only files and records are restored. Whether they are valid is the stage's own question, which it asks anyway: so
nothing that came from the Hub counts for more than what lies here.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from jobs.console import StageResult
from jobs.hub.access import brought, sent
from jobs.hub.release import push_release
from jobs.session import Session
from svc_core import hub as hubs
from svc_core import layout
from svc_core.errors import ConfigError, Preempted, SvcError, Transient
from svc_core.hub import Hub, Pulled, Pushed
from svc_core.hub.errors import Absent
from svc_core.hub.features import pull_model_pins
from svc_core.hub.noted import read


class HubCache:
    """A namespace of the Hub beside the workspace of a run. Raises ConfigError where it may not be written."""

    def __init__(self, session: Session, hub: Hub, named: list[str]) -> None:
        hub.check_writable()
        self._session, self._workspace, self._hub, self._named = session, session.workspace, hub, named
        self._failures: list[SvcError] = []
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
            "publish": lambda: self._try(lambda: push_release(session, hub)),
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
        """Raises Transient where something could not be sent, ConfigError where the same command never could."""
        if not self._failures:
            return
        lasting = [error for error in self._failures if not isinstance(error, Transient)]
        kind, shown = (ConfigError, lasting[0]) if lasting else (Transient, self._failures[0])
        count = len(self._failures)
        raise kind(
            f"the run is done, but {count} {'push' if count == 1 else 'pushes'} to the Hub failed: "
            f"{'put that right and ' if lasting else ''}run the same command again to send the rest; {shown}"
        )

    def _pull_raw(self) -> None:
        self._workspace.bring([layout.SPEAKER_MAP])
        for speaker in self._named or self._known():
            has_some = any(True for _ in self._workspace.raw.files(layout.check_speaker(speaker)))
            if has_some and not self._pull_was_cut(speaker):
                continue
            if self._pull(hubs.pull_raw, speaker) is None:
                where = hubs.Repo("raw", self._hub.namespace, speaker).id
                self._session.console.warn(f"recordings of {speaker!r} are neither here nor in {where}")

    def _pull_was_cut(self, speaker: str) -> bool:
        """Whether the recordings that are here may be a part: a first pull of them began and never ended."""
        noted = read(self._workspace, "raw", speaker)
        return noted is not None and noted.pulled is None and noted.pushed is None

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
        from jobs.stages.features import states

        clips = [clip for clip in self._session.filelists().clips if clip.speaker == speaker]
        found = states(self._workspace, self._session.config(), clips)
        return {one.clip.key: one.clip.file.sha256 for one in found if one.stale.parts}

    def _push(self, push: Callable[[Any, str, Hub], Pushed], names: list[str]) -> None:
        for name in names:
            self._try(partial(self._send, push, name))

    def _send(self, push: Callable[[Any, str, Hub], Pushed], name: str) -> StageResult:
        return sent(push(self._workspace, name, self._hub))

    def _try(self, push: Callable[[], StageResult]) -> None:
        try:
            result = push()
        except Preempted:
            raise
        except SvcError as error:
            self._failures.append(error)
            self._session.console.warn(f"a push to the Hub failed, the run goes on: {error}")
        else:
            if result.done or not result.facts:
                self._session.console.stage(result)

    def _pull(self, pull: Callable[..., Pulled], speaker: str, **options: Any) -> Pulled | None:
        """None where the Hub has no such repository."""
        try:
            pulled = pull(self._workspace, speaker, self._hub, **options)
        except Absent:
            return None
        if pulled.files:
            self._session.console.stage(brought(pulled))
        return pulled

    def _speakers(self) -> list[str]:
        return list(self._session.config().spk)

    def _with_raw(self) -> list[str]:
        gone = self._session.slice_plan().speakers_without_raw
        return [speaker for speaker in self._speakers() if speaker not in gone]

    def _known(self) -> list[str]:
        from svc_core.speakers import read_speaker_map

        return list(read_speaker_map(self._session.root))
