"""A stand-in for a Kubernetes API server: a real HTTP server on this machine with scripted answers."""

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlsplit


class Asked(NamedTuple):
    method: str
    path: str
    query: dict[str, str]
    body: Any
    headers: dict[str, str]


class Answer(NamedTuple):
    status: int = 200
    body: Any = None
    """JSON, or the bytes as they are"""
    cut: bool = False
    """promises more than it sends"""
    after_s: float = 0.0


Script = Callable[[Asked], Answer]


def status(code: int, message: str, reason: str = "") -> Answer:
    """As the API server refuses."""
    return Answer(code, {"kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": message})


class ApiServer:
    """Answers by `on`: {(method, path): Answer, or a function of what was asked}; anything else is 404."""

    def __init__(self) -> None:
        self.on: dict[tuple[str, str], Answer | Script] = {}
        self.asked: list[Asked] = []
        self.gate = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        self.gate.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def kubeconfig(self, path: Path, namespace: str | None = None) -> Path:
        place = {"cluster": "c", "user": "u"} | ({"namespace": namespace} if namespace else {})
        path.write_text(
            json.dumps(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "current-context": "here",
                    "clusters": [{"name": "c", "cluster": {"server": self.url}}],
                    "users": [{"name": "u", "user": {"token": "secret-token"}}],
                    "contexts": [
                        {"name": "here", "context": place},
                        {"name": "there", "context": {**place, "namespace": "elsewhere"}},
                    ],
                }
            )
        )
        return path

    def answer(self, asked: Asked) -> Answer:
        self.asked.append(asked)
        found = self.on.get((asked.method, asked.path), status(404, f'"{asked.path}" not found', "NotFound"))
        return found if isinstance(found, Answer) else found(asked)


def _handler(server: ApiServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def handle_any(self) -> None:
            parts = urlsplit(self.path)
            data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            body = json.loads(data) if data else None
            asked = Asked(
                self.command,
                parts.path,
                dict(parse_qsl(parts.query)),
                body,
                {name.title(): value for name, value in self.headers.items()},
            )
            answer = server.answer(asked)
            if answer.after_s:
                server.gate.wait(answer.after_s)
            sent = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
            self.send_response(answer.status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(sent) + (100 if answer.cut else 0)))
            self.end_headers()
            self.wfile.write(sent)
            self.close_connection = True

        do_GET = do_POST = do_PATCH = do_DELETE = handle_any  # noqa: N815

        def log_message(self, *arguments: object) -> None:
            pass

    return Handler
