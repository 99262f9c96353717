"""How files get into a repository of the Hub and out of it: commits, large file storage, downloads with ranges."""

import base64
import hashlib
import json
import re
from typing import Any
from urllib.parse import quote

from servers.hub_http import Answer, Request, reply
from servers.hub_repos import PREFIX, Blob, HubRepo, HubState, Refused, check_path, is_large


def preupload(request: Request, repo: HubRepo, revision: str) -> Answer:
    tree, files = repo.at(revision).tree, []
    for one in request.json["files"]:
        check_path(one["path"])
        mode = "lfs" if is_large(one["path"], one["size"]) else "regular"
        found = {"path": one["path"], "uploadMode": mode, "shouldIgnore": False}
        known = tree.get(one["path"])
        files.append({**found, "oid": known.etag} if known else found)
    return reply({"files": files})


def commit(state: HubState, request: Request, repo: HubRepo, branch: str) -> Answer:
    lines = [json.loads(line) for line in request.body.splitlines() if line.strip()]
    head = next(line["value"] for line in lines if line["key"] == "header")

    def change(tree: dict[str, Blob]) -> dict[str, Blob]:
        for line in lines:
            _apply(repo, tree, line["key"], line["value"])
        return tree

    message, parent = head.get("description", ""), head.get("parentCommit")
    oid = repo.advance(branch, head["summary"], message, parent, change)
    url = f"{state.endpoint}/{PREFIX[repo.type]}{repo.id}/commit/{oid}"
    return reply({"success": True, "commitOid": oid, "commitUrl": url, "hookOutput": ""})


def _apply(repo: HubRepo, tree: dict[str, Blob], key: str, value: dict[str, Any]) -> None:
    if key == "header":
        return
    path = value["path"].strip("/") if key == "deletedFolder" else value["path"]
    check_path(path)
    if key == "file":
        tree[path] = Blob(base64.b64decode(value["content"]), lfs=False)
    elif key == "lfsFile":
        if value["oid"] not in repo.objects:
            raise Refused(400, "", f"LFS pointer of {path} points to a file that does not exist: {value['oid']}")
        tree[path] = Blob(repo.objects[value["oid"]], lfs=True)
    else:
        gone = [name for name in tree if name == path or (key == "deletedFolder" and name.startswith(f"{path}/"))]
        if not gone:
            raise Refused(404, "EntryNotFound", f"{path} does not exist")
        for name in gone:
            del tree[name]


def lfs(state: HubState, request: Request, repo: HubRepo, rest: list[str]) -> Answer:
    """Batch says where to put what is not there yet; verify is asked after an upload."""
    if rest == ["verify"]:
        data = repo.objects.get(request.json["oid"])
        if data is None or len(data) != request.json["size"]:
            raise Refused(404, "", "object not found or of another size")
        return reply({})
    base = f"{state.endpoint}/{PREFIX[repo.type]}{repo.id}.git/info/lfs/objects"
    objects = []
    for one in request.json["objects"]:
        oid = one["oid"]
        if oid in repo.objects:
            objects.append({"oid": oid, "size": one["size"]})
            continue
        href = f"{state.storage}/storage/{repo.type}/{repo.id}/{oid}?signature={state.sign(oid)}"
        actions = {"upload": {"href": href, "header": {}}, "verify": {"href": f"{base}/verify", "header": {}}}
        objects.append({"oid": oid, "size": one["size"], "authenticated": True, "actions": actions})
    return reply({"transfer": "basic", "objects": objects})


def storage(state: HubState, request: Request, parts: list[str]) -> Answer:
    """Where large files lie: behind signed addresses, without a token."""
    repo, oid = state.repos.get((parts[1], f"{parts[2]}/{parts[3]}")), parts[4]
    if repo is None or request.query.get("signature") != state.sign(oid):
        raise Refused(403, "", "SignatureDoesNotMatch")
    if request.method == "PUT":
        if hashlib.sha256(request.body).hexdigest() != oid:
            raise Refused(400, "", "BadDigest")
        repo.objects[oid] = request.body
        repo.uploads.append(oid)
        return Answer(200, headers={"ETag": f'"{oid[:32]}"'})
    data = repo.objects.get(oid) or next(
        (blob.data for commit in repo._commits.values() for blob in commit.tree.values() if blob.sha256 == oid), None
    )
    if data is None:
        raise Refused(404, "", "NoSuchKey")
    return _ranged(request, data, {"ETag": f'"{oid}"', "Content-Type": "application/octet-stream"})


def resolve(state: HubState, request: Request, repo: HubRepo, revision: str, path: str) -> Answer:
    at = repo.at(revision)
    blob = at.tree.get(path)
    if blob is None:
        raise Refused(404, "EntryNotFound", "Entry not found", {"X-Repo-Commit": at.oid})
    headers = {"X-Repo-Commit": at.oid, "ETag": f'"{blob.etag}"', "Accept-Ranges": "bytes"}
    if not blob.lfs:
        return _ranged(request, blob.data, {**headers, "Content-Type": "application/octet-stream"})
    signed = f"signature={state.sign(blob.sha256)}"
    place = f"{state.storage}/storage/{repo.type}/{repo.id}/{blob.sha256}/{quote(path)}?{signed}"
    linked = {"X-Linked-Etag": f'"{blob.sha256}"', "X-Linked-Size": str(len(blob.data)), "Location": place}
    return Answer(302, headers={**headers, **linked})


def _ranged(request: Request, data: bytes, headers: dict[str, str]) -> Answer:
    match = re.fullmatch(r"bytes=(\d*)-(\d*)", request.headers.get("Range", ""))
    if not match or match[0] == "bytes=-":
        return Answer(200, data, headers)
    first = int(match[1]) if match[1] else max(len(data) - int(match[2]), 0)
    last = min(int(match[2]), len(data) - 1) if match[1] and match[2] else len(data) - 1
    if first >= len(data) or last < first:
        raise Refused(416, "", "range not satisfiable", {"Content-Range": f"bytes */{len(data)}"})
    return Answer(206, data[first : last + 1], {**headers, "Content-Range": f"bytes {first}-{last}/{len(data)}"})
