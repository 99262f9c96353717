"""How a workflow ended: one sentence, one exit code of ours, and where the report lies."""

from dataclasses import dataclass

from jobs.cluster.stages import NEVER_AGAIN, Row, Shard, rows
from jobs.cluster.workflow import Node, Workflow

_STOPPED, _BUG, _AGAIN, _CONFIG = 75, 70, 75, 78
OURS = (*NEVER_AGAIN, _AGAIN)
_REFUSED = ("forbidden", "invalid", "exceeded quota")


@dataclass(frozen=True)
class Outcome:
    state: str
    """Succeeded, Failed or Error, as Argo says it."""
    exit_code: int
    sentence: str
    report: str
    """Address of the report's page; empty where none was written."""


def outcome(workflow: Workflow) -> Outcome:
    """Of a workflow that has ended."""
    table = rows(workflow)
    report = _output(table, "report", "page")
    if workflow.phase == "Succeeded":
        done = [shard.newest.outputs.get("message", "") for row in table for shard in row.shards]
        return Outcome(workflow.phase, 0, next((text for text in reversed(done) if text), ""), report)
    failed = [(row, shard) for row in table for shard in row.shards if shard.state == "failed"]
    if not failed:
        return Outcome(workflow.phase, *_without_pods(workflow), report)
    row, shard = failed[0]
    place = _place(row, shard, many=len({row.group for row in table}) > 1)
    sentence = f"{place}: {sentence_of(shard) or 'its pod ended without a message'}"
    if workflow.shutdown:
        sentence = f"{row.stage} was told to {workflow.shutdown.lower()}: what it saved stays, submit again to go on"
    elif len(failed) > 1:
        sentence += f" (and {len(failed) - 1} more failed: svc-jobs status {workflow.name})"
    code = _STOPPED if workflow.shutdown else _code(shard.newest)
    return Outcome(workflow.phase, code, sentence, report)


def workspace_of(workflow: Workflow) -> str:
    """The workspace's URL as the stages were given it; empty where none has been yet, or there are several."""
    found = {node.inputs["workspace"] for node in workflow.nodes.values() if node.inputs.get("workspace")}
    return found.pop() if len(found) == 1 else workflow.parameters.get("workspace", "")


def sentence_of(shard: Shard) -> str:
    """What a failed shard's newest attempt says, else what Argo says of the retries."""
    return shard.newest.sentence or shard.node.sentence


def _place(row: Row, shard: Shard, *, many: bool) -> str:
    speaker, index = f"{row.group}, " if many else "", f" {shard.index}" if row.total > 1 else ""
    return f"{speaker}{row.stage}{index}"


def _code(node: Node) -> int:
    if "OOMKilled" in node.message:
        return _CONFIG
    if node.exit_code in OURS:
        return node.exit_code
    if node.phase == "Error":
        return _CONFIG if any(word in node.message for word in _REFUSED) else _AGAIN
    return _AGAIN if node.exit_code in (137, 143, None, -1) else _BUG


def _without_pods(workflow: Workflow) -> tuple[int, str]:
    if workflow.shutdown:
        return _STOPPED, f"told to {workflow.shutdown.lower()} while no stage was at work: submit again to go on"
    broken = [node.message for node in workflow.nodes.values() if node.phase in ("Failed", "Error") and node.message]
    message = workflow.message or next(iter(broken), "")
    return _CONFIG, message or f"the workflow ended as {workflow.phase} without a message: kubectl describe it"


def _output(table: list[Row], stage: str, name: str) -> str:
    shards = [shard for row in table if row.stage == stage for shard in row.shards]
    return next((shard.newest.outputs[name] for shard in shards if shard.newest.outputs.get(name)), "")
