"""The Hub's HTTP interface as functions: a request in, an answer out. Only what huggingface_hub and datasets ask."""

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote

from servers.hub_files import commit, lfs, preupload, resolve, storage
from servers.hub_http import Answer, Request, reply
from servers.hub_repos import PREFIX, Blob, Commit, HubRepo, HubState, Refused, Token

TYPES = {"models": "model", "datasets": "dataset"}
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9_])?")


def answer(state: HubState, request: Request) -> Answer:
    """Raises Refused."""
    parts = [unquote(part) for part in request.path.split("/")[1:]]
    if parts[0] == "storage":
        return storage(state, request, parts)
    token = _token(state, request)
    if parts[:2] == ["api", "whoami-v2"]:
        return _whoami(state, token)
    if parts[:2] == ["api", "validate-yaml"]:
        return reply({"errors": [], "warnings": []})
    if parts[:2] == ["api", "repos"] and parts[2:] in (["create"], ["delete"]):
        return (_create if parts[2] == "create" else _delete)(state, request, token)
    if parts[0] == "api" and parts[1] in TYPES and len(parts) >= 4:
        repo = _repo(state, TYPES[parts[1]], f"{parts[2]}/{parts[3]}", token, _writes(request, parts[4:]))
        return _api(state, request, repo, parts[4:])
    kind = "dataset" if parts[0] == "datasets" else "model"
    rest = parts[1:] if kind == "dataset" else parts
    if len(rest) >= 5 and rest[1].endswith(".git") and rest[2:5] == ["info", "lfs", "objects"]:
        repo = _repo(state, kind, f"{rest[0]}/{rest[1].removesuffix('.git')}", token, writes=True)
        return lfs(state, request, repo, rest[5:])
    if len(rest) >= 5 and rest[2] == "resolve":
        repo = _repo(state, kind, f"{rest[0]}/{rest[1]}", token, writes=False)
        return resolve(state, request, repo, rest[3], "/".join(rest[4:]))
    raise Refused(404, "", f"no such page: {request.path}")


def _token(state: HubState, request: Request) -> Token | None:
    given = request.headers.get("Authorization")
    if given is None:
        return None
    if found := state.tokens.get(given.removeprefix("Bearer ")):
        return found
    raise Refused(401, "", "Invalid credentials in Authorization header")


def _whoami(state: HubState, token: Token | None) -> Answer:
    if token is None:
        raise Refused(401, "", "Unauthorized")
    orgs = [{"type": "org", "name": name} for name, users in sorted(state.members.items()) if token.user in users]
    access = {"displayName": "test", "role": token.role, "createdAt": "2024-01-01T00:00:00.000Z"}
    auth = {"type": "access_token", "accessToken": access}
    return reply({"type": "user", "id": token.user, "name": token.user, "fullname": "", "orgs": orgs, "auth": auth})


def _check_write(state: HubState, namespace: str, token: Token | None) -> None:
    if token is None:
        raise Refused(401, "", "Unauthorized")
    if token.role != "write":
        raise Refused(403, "", "Forbidden: this token is read-only, you must use a token with write permission")
    if not state.may_use(namespace, token.user):
        raise Refused(403, "", f"You don't have the rights to write under the namespace {namespace!r}")


def _named(request: Request, token: Token | None) -> tuple[str, str, str]:
    namespace = request.json.get("organization") or (token.user if token else "")
    return request.json.get("type") or "model", namespace, request.json["name"]


def _create(state: HubState, request: Request, token: Token | None) -> Answer:
    kind, namespace, name = _named(request, token)
    _check_write(state, namespace, token)
    if not _NAME.fullmatch(name) or "--" in name or ".." in name or name.endswith(".git"):
        raise Refused(400, "", f"Invalid repository name: {name!r}")
    key = (kind, f"{namespace}/{name}")
    url = f"{state.endpoint}/{PREFIX[kind]}{namespace}/{name}"
    if key in state.repos:
        return reply({"error": f"You already created this {kind} repo", "url": url}, 409)
    private = request.json.get("visibility") == "private" or bool(request.json.get("private"))
    state.repos[key] = HubRepo(kind, key[1], private)
    return reply({"url": url, "name": key[1], "id": hashlib.sha1(url.encode()).hexdigest()[:24]})


def _delete(state: HubState, request: Request, token: Token | None) -> Answer:
    kind, namespace, name = _named(request, token)
    _repo(state, kind, f"{namespace}/{name}", token, writes=True)
    del state.repos[kind, f"{namespace}/{name}"]
    return reply({})


def _repo(state: HubState, kind: str, repo_id: str, token: Token | None, writes: bool) -> HubRepo:
    repo = state.repos.get((kind, repo_id))
    namespace = repo_id.partition("/")[0]
    if repo is None or (repo.private and not (token and state.may_use(namespace, token.user))):
        raise Refused(404 if token else 401, "RepoNotFound", "Repository not found")
    if writes:
        _check_write(state, namespace, token)
    return repo


def _writes(request: Request, rest: list[str]) -> bool:
    return request.method in ("POST", "PUT", "DELETE") and rest[:1] != ["paths-info"]


def _api(state: HubState, request: Request, repo: HubRepo, rest: list[str]) -> Answer:
    verb = rest[0] if rest else "revision"
    revision = rest[1] if len(rest) > 1 else "main"
    if verb in ("branch", "tag"):
        return _reference(request, repo, verb, revision)
    asked: dict[tuple[str, str], Callable[[], Answer]] = {
        ("GET", "revision"): lambda: _info(request, repo, revision),
        ("GET", "tree"): lambda: _tree(state, request, repo, revision, "/".join(rest[2:])),
        ("GET", "refs"): lambda: _refs(repo),
        ("GET", "commits"): lambda: _commits(repo, revision),
        ("GET", "auth-check"): lambda: reply({}),
        ("POST", "paths-info"): lambda: _paths_info(request, repo, revision),
        ("POST", "preupload"): lambda: preupload(request, repo, revision),
        ("POST", "commit"): lambda: commit(state, request, repo, revision),
        ("PUT", "settings"): lambda: _settings(request, repo),
    }
    if (request.method, verb) not in asked:
        raise Refused(404, "", f"no such page: {request.method} {request.path}")
    return asked[request.method, verb]()


def _info(request: Request, repo: HubRepo, revision: str) -> Answer:
    commit, history = repo.at(revision), repo.commits(revision)
    blobs = request.query.get("blobs", "").lower() in ("true", "1")
    siblings = [_sibling(path, blob, blobs) for path, blob in sorted(commit.tree.items())]
    return reply(
        {
            "_id": hashlib.sha1(repo.id.encode()).hexdigest()[:24],
            "id": repo.id,
            "author": repo.id.partition("/")[0],
            "sha": commit.oid,
            "lastModified": commit.date,
            "createdAt": history[-1].date,
            "private": repo.private,
            "gated": False,
            "disabled": False,
            "downloads": 0,
            "likes": 0,
            "tags": [],
            "siblings": siblings,
        }
    )


def _sibling(path: str, blob: Blob, details: bool) -> dict[str, Any]:
    if not details:
        return {"rfilename": path}
    lfs = {"sha256": blob.sha256, "size": len(blob.data), "pointerSize": len(blob.pointer)}
    found = {"rfilename": path, "size": len(blob.data), "blobId": blob.git_oid}
    return {**found, "lfs": lfs} if blob.lfs else found


def _entry(repo: HubRepo, commit: Commit, path: str, expand: bool) -> dict[str, Any] | None:
    """A file or a folder as tree and paths-info show it; None where there is neither."""
    blob = commit.tree.get(path)
    if blob is not None:
        found: dict[str, Any] = {"type": "file", "oid": blob.git_oid, "size": len(blob.data), "path": path}
        if blob.lfs:
            found["lfs"] = {"oid": blob.sha256, "size": len(blob.data), "pointerSize": len(blob.pointer)}
    elif any(name.startswith(f"{path}/") for name in commit.tree):
        listing = sorted((n, b.git_oid) for n, b in commit.tree.items() if n.startswith(f"{path}/"))
        oid = hashlib.sha1(json.dumps(listing).encode()).hexdigest()
        found = {"type": "directory", "oid": oid, "size": 0, "path": path}
    else:
        return None
    if expand:
        change = repo.last_change(path, commit.oid)
        found["lastCommit"] = {"id": change.oid, "title": change.title, "date": change.date}
    return found


def _tree(state: HubState, request: Request, repo: HubRepo, revision: str, folder: str) -> Answer:
    commit, query = repo.at(revision), request.query
    recursive, expand = (query.get(name, "").lower() in ("true", "1") for name in ("recursive", "expand"))
    inside = f"{folder}/" if folder else ""
    below = [path[len(inside) :] for path in commit.tree if path.startswith(inside)]
    if folder and not below:
        raise Refused(404, "EntryNotFound", f"{folder} does not exist on {revision!r}")
    names = set()
    for path in below:
        steps = path.split("/")
        names.update("/".join(steps[:depth]) for depth in range(1, len(steps) + 1 if recursive else 2))
    ordered = sorted(names)
    start = int(query.get("cursor", "0"))
    size = min(state.page_size, int(query.get("limit", state.page_size)))
    page = [_entry(repo, commit, f"{inside}{name}", expand) for name in ordered[start : start + size]]
    headers = {"X-Repo-Commit": commit.oid}
    if start + size < len(ordered):
        settings = f"recursive={recursive}&expand={expand}&cursor={start + size}"
        headers["Link"] = f'<{state.endpoint}{request.path}?{settings}>; rel="next"'
    return reply(page, headers=headers)


def _paths_info(request: Request, repo: HubRepo, revision: str) -> Answer:
    commit, form = repo.at(revision), request.form
    expand = form.get("expand", ["false"])[-1].lower() == "true"
    found = [_entry(repo, commit, path.strip("/"), expand) for path in form.get("paths", [])]
    return reply([entry for entry in found if entry])


def _refs(repo: HubRepo) -> Answer:
    def listed(names: Mapping[str, str], folder: str) -> list[dict[str, str]]:
        return [{"name": name, "ref": f"refs/{folder}/{name}", "targetCommit": oid} for name, oid in names.items()]

    branches, tags = listed(repo.branches, "heads"), listed(repo.tags, "tags")
    return reply({"branches": branches, "tags": tags, "converts": [], "pullRequests": []})


def _commits(repo: HubRepo, revision: str) -> Answer:
    author = [{"user": repo.id.partition("/")[0]}]
    return reply(
        [
            {"id": one.oid, "authors": author, "date": one.date, "title": one.title, "message": one.message}
            for one in repo.commits(revision)
        ]
    )


def _reference(request: Request, repo: HubRepo, verb: str, name: str) -> Answer:
    """POST /branch/<name> {startingPoint}, POST /tag/<revision> {tag}, DELETE of either by name."""
    names = repo.branches if verb == "branch" else repo.tags
    if request.method == "DELETE":
        if name not in names:
            raise Refused(404, "RevisionNotFound", f"no such {verb}: {name}")
        if (verb, name) == ("branch", "main"):
            raise Refused(403, "", "the main branch cannot be deleted")
        del names[name]
        return reply({})
    given = request.json
    new, start = (name, given.get("startingPoint", "main")) if verb == "branch" else (given["tag"], name)
    commit = repo.at(start)
    if new in names:
        raise Refused(409, "", f"Reference {new} already exists")
    names[new] = commit.oid
    return reply({})


def _settings(request: Request, repo: HubRepo) -> Answer:
    if "visibility" in request.json or "private" in request.json:
        repo.private = request.json.get("visibility") == "private" or bool(request.json.get("private"))
    return reply({"private": repo.private})
