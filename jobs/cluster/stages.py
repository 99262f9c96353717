"""A workflow's nodes as rows: a stage of a speaker, its shards, and the attempts at each."""

from collections.abc import Iterator
from dataclasses import dataclass

from jobs.cluster.workflow import Node, Workflow

NOT_REACHED = "not reached"
NEVER_AGAIN = (2, 66, 70, 78)
"""Exit codes of ours that no new attempt cures, so that the chart asks Argo for none."""
_WORDS = {
    "Pending": "pending",
    "Running": "running",
    "Succeeded": "done",
    "Failed": "failed",
    "Error": "failed",
    "Skipped": "skipped",
    "Omitted": NOT_REACHED,
}


@dataclass(frozen=True)
class Shard:
    """One piece of a stage: one pod, or one after another."""

    index: str
    """Its number where the stage has several, else empty."""
    node: Node
    attempts: tuple[Node, ...]
    """Pods, oldest first; empty while there is none, and for what was skipped."""

    @property
    def newest(self) -> Node:
        return self.attempts[-1] if self.attempts else self.node

    @property
    def state(self) -> str:
        """pending, running, done, failed or skipped."""
        if self.node.phase != "Running":
            return _WORDS.get(self.node.phase, "pending")
        # A Retry node runs also while its pod waits for a node or its next attempt, and until Argo has seen its end.
        newest = self.newest
        if newest.phase in ("Running", "Succeeded"):
            return _WORDS[newest.phase]
        return "failed" if newest.ended and newest.exit_code in NEVER_AGAIN else "pending"

    @property
    def retries(self) -> int:
        return max(len(self.attempts) - 1, 0)


@dataclass(frozen=True)
class Row:
    """A stage of one speaker. `stage` is empty for a speaker whose turn has not come."""

    group: str
    stage: str
    shards: tuple[Shard, ...]
    waiting: str = ""
    """Why nothing of it runs, where Argo says so."""

    @property
    def state(self) -> str:
        states = [shard.state for shard in self.shards]
        if states and set(states) == {"done"} and len(states) < self.total:
            return "pending"
        for state in ("running", "pending", "failed", "done", "skipped"):
            if state in states:
                return state
        return "pending" if self.waiting else NOT_REACHED

    @property
    def total(self) -> int:
        """Shards in all: Argo makes the node of one only when there is room for its pod."""
        asked = [shard.node.inputs.get("shards", "") for shard in self.shards if shard.index]
        return max([len(self.shards), *(int(text) for text in asked if text.isdecimal())])

    @property
    def retries(self) -> int:
        return sum(shard.retries for shard in self.shards)

    def count(self, *states: str) -> int:
        return sum(shard.state in states for shard in self.shards)


def rows(workflow: Workflow) -> list[Row]:
    """Every stage of every speaker that was begun, in the order of the DAG."""
    found: dict[tuple[str, str], list[Shard]] = {}
    for shard in _shards(workflow):
        found.setdefault((shard.node.boundary, shard.node.template), []).append(shard)
    result = []
    for boundary, name, stages in _groups(workflow, [key[0] for key in found]):
        if waiting := _waiting(workflow, boundary):
            result.append(Row(name, "", (), waiting))
            continue
        extra = [stage for place, stage in found if place == boundary and stage not in stages]
        for stage in (*stages, *extra):
            shards = sorted(found.get((boundary, stage), []), key=lambda shard: (len(shard.index), shard.index))
            result.append(Row(name, stage, tuple(shards)))
    return result


def _groups(workflow: Workflow, boundaries: list[str]) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Node id, speaker's name and stages of each DAG that calls stages, in the order in which they began."""
    dags = [node for node in workflow.nodes.values() if node.kind == "DAG"]
    for node in sorted(dags, key=lambda node: (node.started_s or 0.0, node.name)):
        stages = tuple(name for name in workflow.calls.get(node.template, ()) if name not in workflow.calls)
        if stages or node.id in boundaries:
            yield node.id, node.inputs.get("speaker", workflow.parameters.get("speaker", "")), stages
    known = {node.id for node in dags}
    for boundary in dict.fromkeys(boundaries):
        if boundary not in known:
            yield boundary, workflow.parameters.get("speaker", ""), ()
    if not dags and not boundaries:
        yield "", workflow.parameters.get("speaker", ""), workflow.stages


def _shards(workflow: Workflow) -> Iterator[Shard]:
    leaves = set(workflow.stages)
    for node in workflow.nodes.values():
        if node.kind == "Retry":
            pods = [workflow.nodes[child] for child in node.children if child in workflow.nodes]
            # Below the last attempt Argo hangs the stages that follow.
            attempts = sorted((pod for pod in pods if pod.kind == "Pod" and pod.is_attempt), key=_begun)
            yield Shard(_index(node.name), node, tuple(attempts))
        elif node.kind == "Pod" and not node.is_attempt:
            yield Shard(_index(node.name), node, (node,))
        elif node.template in leaves and (node.kind == "Skipped" or _empty_group(node)):
            yield Shard("", node, ())


def _empty_group(node: Node) -> bool:
    return node.kind == "TaskGroup" and node.phase in ("Skipped", "Omitted", "Error")


def _waiting(workflow: Workflow, boundary: str) -> str:
    node = workflow.nodes.get(boundary)
    return node.message or "waiting for its turn" if node and node.phase == "Pending" else ""


def _begun(node: Node) -> tuple[float, str]:
    return node.started_s or float("inf"), node.name


def _index(name: str) -> str:
    """`2` of `slice(2:2)`, which Argo calls the third of a sequence."""
    inside = name.rpartition("(")[2] if name.endswith(")") else ""
    return inside.partition(":")[0] if ":" in inside else ""
