"""The logs of a workflow's stages, as they are or as they grow."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from jobs.cluster.answers import Forbidden
from jobs.cluster.client import Cluster
from jobs.cluster.outcome import sentence_of
from jobs.cluster.pods import Pod
from jobs.cluster.snapshot import pods_of
from jobs.cluster.stages import Row, Shard, rows
from jobs.cluster.target import Target
from jobs.cluster.watch import pause
from jobs.cluster.workflow import Workflow, read_workflow
from jobs.stop import Stop
from svc_core.errors import BadInput, ConfigError, Preempted, SvcError, Transient

EVERY_S = 2.0


class Wanted(NamedTuple):
    """Which shards: all where nothing is said."""

    stage: str | None = None
    shard: int | None = None

    def has(self, row: Row, shard: Shard) -> bool:
        if self.shard is not None and (shard.index or "0") != str(self.shard):
            return False
        return self.stage in (None, row.stage)


class Line(NamedTuple):
    source: str
    """`features/2`, or `train (2nd attempt)`: which pod."""
    text: str


@dataclass
class Tail:
    """The log of one pod, read on from where the last look ended."""

    source: str
    pod: str
    _stamp: str = ""
    _at_stamp: set[str] = field(default_factory=set)

    def new(self, cluster: Cluster) -> Iterator[Line]:
        query = {"container": "main", "timestamps": "true"}
        if self._stamp:
            query["sinceTime"] = f"{self._stamp[:19]}Z"
        for line in self._text(cluster, query).splitlines():
            stamp, _, text = line.partition(" ")
            if stamp < self._stamp or line in self._at_stamp:
                continue
            if stamp != self._stamp:
                self._stamp, self._at_stamp = stamp, set()
            self._at_stamp.add(line)
            yield Line(self.source, text)

    def _text(self, cluster: Cluster, query: dict[str, str]) -> str:
        try:
            return cluster.text(Target("pods", cluster.namespace, self.pod, "log", query))
        except Forbidden:
            raise
        except ConfigError:
            if cluster.find(Target("pods", cluster.namespace, self.pod)) is None:
                return ""  # it went between the listing and now
            raise


@dataclass
class Reader:
    """What has been read of a workflow's logs so far."""

    cluster: Cluster
    wanted: Wanted
    _tails: dict[str, Tail] = field(default_factory=dict)
    _told: set[str] = field(default_factory=set)

    def new(self, workflow: Workflow) -> Iterator[Line]:
        """Lines since the last call, pod by pod, oldest pod first; of a pod that is gone, one line that says so."""
        pods = {pod.node_id: pod for pod in pods_of(self.cluster, workflow.name)}
        for row, shard, number in _attempts(workflow, self.wanted):
            node = shard.attempts[number]
            source, pod = _source(row, shard, number), pods.get(node.id)
            if pod and pod.phase == "Pending":
                if pod.waits_for:
                    yield from self._once(source, f"{node.id} waits", f"no log yet: {pod.waits_for}")
            elif pod:
                yield from self._read(self._tails.setdefault(node.id, Tail(source, pod.name)), pod)
            elif node.ended and node.id not in self._tails:
                yield from self._once(source, node.id, _gone(shard, number))

    def _read(self, tail: Tail, pod: Pod) -> Iterator[Line]:
        """One pod that has no log, or whose node does not answer, must not keep the others' lines back."""
        if pod.rejected:
            yield from self._once(tail.source, pod.name, f"its pod never began: {pod.rejected}")
            return
        try:
            yield from tail.new(self.cluster)
        except (Forbidden, Preempted):
            raise
        except SvcError as error:
            yield from self._once(tail.source, pod.name, f"its log cannot be read now: {error}")

    def _once(self, source: str, about: str, text: str) -> Iterator[Line]:
        if about not in self._told:
            self._told.add(about)
            yield Line(source, text)


def lines(cluster: Cluster, workflow: Workflow, wanted: Wanted, follow: Stop | None = None) -> Iterator[Line]:
    """The log lines of a workflow; with `follow` on until it ends or the signal comes.

    Raises BadInput where no stage or shard is as wanted.
    """
    check(workflow, wanted)
    if not _attempts(workflow, wanted):
        yield Line(wanted.stage or workflow.name, f"no pod yet: {workflow.message or 'its turn has not come'}")
    reader = Reader(cluster, wanted)
    yield from reader.new(workflow)
    while follow and not workflow.ended and not follow.requested():
        pause(EVERY_S, follow)
        try:
            workflow = read_workflow(cluster.get(Target("workflows", cluster.namespace, workflow.name)))
            yield from reader.new(workflow)
        except Transient:  # what was read is kept, and the next look goes on from there
            continue


def check(workflow: Workflow, wanted: Wanted) -> None:
    """Raises BadInput for a stage or shard that the workflow does not have."""
    table = rows(workflow)
    stages = list(dict.fromkeys(row.stage for row in table if row.stage))
    if wanted.stage and wanted.stage not in stages:
        raise BadInput(f"{workflow.name} has no stage {wanted.stage!r}, only {', '.join(stages) or 'none yet'}")
    begun = any(shard.attempts for row in table if wanted.stage in (None, row.stage) for shard in row.shards)
    if wanted.shard is not None and begun and not list(_attempts(workflow, wanted)):
        raise BadInput(
            f"{workflow.name} has no shard {wanted.shard} of {wanted.stage or 'any stage'}: see svc-jobs status"
        )


def several(workflow: Workflow, wanted: Wanted) -> bool:
    """Whether lines need to say which pod they come from."""
    return not workflow.ended or len(list(_attempts(workflow, wanted))) > 1


def _attempts(workflow: Workflow, wanted: Wanted) -> list[tuple[Row, Shard, int]]:
    found = [
        (row, shard, number)
        for row in rows(workflow)
        for shard in row.shards
        if wanted.has(row, shard)
        for number in range(len(shard.attempts))
    ]
    return sorted(found, key=lambda item: item[1].attempts[item[2]].started_s or float("inf"))


def _source(row: Row, shard: Shard, number: int) -> str:
    index = f"/{shard.index}" if shard.index and row.total > 1 else ""
    attempt = f" attempt {number + 1}" if len(shard.attempts) > 1 else ""
    return f"{row.stage}{index}{attempt}"


def _gone(shard: Shard, number: int) -> str:
    node = shard.attempts[number]
    left = node.sentence or (sentence_of(shard) if number == len(shard.attempts) - 1 else "")
    left = left or node.outputs.get("message", "")
    return f"its pod is gone, and its log with it; what remains: {left or f'it ended as {node.phase}'}"
