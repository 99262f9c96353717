"""A Hub of one model repository on the loopback: what hf_hub_download asks of it, and the ways in which it may fail."""

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import unquote

COMMIT = "0123456789abcdef0123456789abcdef01234567"
LARGE_BYTES = 1000  # from here on the ETag is the content's sha256, as for files in large file storage


class Hub:
    """`files` of `repo`; `trouble` maps a path to a status code, "cut" (half a body) or "garbled" (another content)."""

    def __init__(self, repo: str, files: dict[str, bytes]) -> None:
        self.repo = repo
        self.files = files
        self.trouble: dict[str, int | str] = {}
        self.asked: list[str] = []
        self.endpoint = ""


@contextmanager
def serving(hub: Hub) -> Iterator[Hub]:
    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self._answer(with_body=False)

        def do_GET(self) -> None:
            self._answer(with_body=True)

        def log_message(self, *arguments: object) -> None:
            pass

        def _answer(self, *, with_body: bool) -> None:
            match = re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", unquote(self.path))
            if match:  # and not the client's questions about itself
                hub.asked.append(f"{self.command} {self.path}")
            if not match or match[1] != hub.repo:
                return self._refuse(404, "RepoNotFound")
            if match[2] not in ("main", COMMIT):
                return self._refuse(404, "RevisionNotFound")
            trouble = hub.trouble.get(match[3])
            if isinstance(trouble, int):
                return self._refuse(trouble, "")
            if match[3] not in hub.files:
                return self._refuse(404, "EntryNotFound")
            return self._send(hub.files[match[3]], trouble, with_body=with_body)

        def _send(self, data: bytes, trouble: str | None, *, with_body: bool) -> None:
            self.send_response(200)
            large = len(data) >= LARGE_BYTES
            digest = hashlib.sha256(data).hexdigest() if large else hashlib.sha1(data).hexdigest()
            self.send_header("ETag", f'"{digest}"')
            if large:
                self.send_header("X-Linked-Etag", f'"{digest}"')
                self.send_header("X-Linked-Size", str(len(data)))
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if with_body:
                body = bytes(byte ^ 1 for byte in data) if trouble == "garbled" else data
                self.wfile.write(body[: len(body) // 2] if trouble == "cut" else body)

        def _refuse(self, status: int, code: str) -> None:
            self.send_response(status)
            if code:
                self.send_header("X-Error-Code", code)
            if code in ("EntryNotFound", ""):
                self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("Content-Length", "0")
            self.end_headers()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
