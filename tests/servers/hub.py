"""A Hugging Face Hub on loopback, for the unmodified clients: repositories, large files, conflicts and faults.

    with HubServer() as hub:
        api = HfApi(endpoint=hub.endpoint, token=hub.token)

State is in memory and dies with the server. `hub.environment(home)` is what a process of its own needs to find it.
"""

import json
import socket
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock, Thread
from urllib.parse import unquote, urlsplit

from servers.hub_api import answer
from servers.hub_faults import Faults
from servers.hub_http import Answer, Request
from servers.hub_repos import HubRepo, HubState, Refused, Token


class HubServer:
    """`namespace` is the user of `token` (write) and `read_token`; `organisation` is theirs too.

    `other_token` may write too, but belongs to a stranger. `requests` lists "METHOD /path" of all that was asked.
    """

    namespace = "tester"
    organisation = "team"
    token = "hf_write_token_of_the_test"
    read_token = "hf_read_token_of_the_test"
    other_token = "hf_token_of_a_stranger"

    def __init__(self) -> None:
        self.faults = Faults()
        self.requests: list[str] = []
        self.state = HubState(members={self.organisation: {self.namespace}})
        self.state.tokens = {
            self.token: Token(self.namespace, "write"),
            self.read_token: Token(self.namespace, "read"),
            self.other_token: Token("stranger", "write"),
        }

    @property
    def endpoint(self) -> str:
        return self.state.endpoint

    def repo(self, kind: str, repo_id: str) -> HubRepo:
        """The repository of a type ("model", "dataset"). Raises KeyError where there is none."""
        return self.state.repos[kind, repo_id]

    def environment(self, home: Path, token: str | None = token) -> dict[str, str]:
        """Variables for a process: this Hub and no other, with a cache below `home`."""
        found = {"HF_ENDPOINT": self.endpoint, "HF_HOME": str(home), "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1"}
        quiet = {"HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1", "NO_PROXY": "127.0.0.1"}
        return {**found, **quiet, **({"HF_TOKEN": token} if token else {})}

    def __enter__(self) -> "HubServer":
        self._stops = []
        # Large files have an address of their own, as on the Hub: the client takes no token there.
        self.state.endpoint, self.state.storage = self._listen(), self._listen()
        return self

    def __exit__(self, *exception: object) -> None:
        for stop in self._stops:
            stop()

    def _listen(self) -> str:
        http = _Http(("127.0.0.1", 0), _handler(self))
        thread = Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        self._stops += [http.shutdown, http.server_close, http.hang_up, thread.join]
        return f"http://127.0.0.1:{http.server_address[1]}"


class _Http(ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = True

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)
        self._open: set[socket.socket] = set()
        self._lock = Lock()

    def process_request(self, request, client_address) -> None:
        with self._lock:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request) -> None:
        with self._lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request, client_address) -> None:
        """A client that was killed in the middle is part of the tests."""

    def hang_up(self) -> None:
        """Ends the connections that clients keep open."""
        with self._lock:
            for connection in self._open:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)


def _handler(hub: HubServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = 1 << 16
        disable_nagle_algorithm = True

        def log_message(self, *arguments: object) -> None:
            pass

        def _serve(self) -> None:
            line = f"{self.command} {unquote(urlsplit(self.path).path)}"
            hub.requests.append(line)
            body = _body(self, hub.faults, line)
            before = ("delay", "before", "drop", "answer")
            while fault := hub.faults.take(line, before):
                if fault.kind == "delay":
                    time.sleep(fault.number)
                elif fault.kind == "before":
                    fault.action()
                elif fault.kind == "drop":
                    return self._hang_up()
                else:
                    refusal = Refused(fault.status, "", "injected by the test", fault.headers)
                    return self._send(_refusal(refusal), line)
            try:
                method = "GET" if self.command == "HEAD" else self.command
                made = answer(hub.state, Request(method, self.path, self.headers, body))
            except Refused as refused:
                made = _refusal(refused)
            if hub.faults.take(line, ("lose_answer",)):
                return self._hang_up()
            return self._send(made, line)

        do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = _serve  # noqa: N815

        def _send(self, made: Answer, line: str) -> None:
            self.send_response(made.status)
            for name, value in made.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(made.body)))
            self.end_headers()
            if self.command == "HEAD":
                return
            whole = made.status in (200, 206)
            if whole and hub.faults.take(line, ("garble",), len(made.body)):
                made = Answer(made.status, bytes(byte ^ 1 for byte in made.body))
            cut = hub.faults.take(line, ("cut",), len(made.body)) if whole else None
            self.wfile.write(made.body[: int(cut.number)] if cut else made.body)
            if cut:
                self._hang_up()

        def _hang_up(self) -> None:
            self.wfile.flush()
            self.close_connection = True

    return Handler


def _body(handler: BaseHTTPRequestHandler, faults: Faults, line: str) -> bytes:
    if handler.headers.get("Transfer-Encoding", "").lower() == "chunked":
        return _chunks(handler)
    size = int(handler.headers.get("Content-Length") or 0)
    if cut := faults.take(line, ("cut_upload",), size):
        handler.rfile.read(int(cut.number))
        raise ConnectionAbortedError("the test ends this upload here")
    body = handler.rfile.read(size)
    if len(body) < size:
        raise ConnectionAbortedError("the client went away")
    return body


def _chunks(handler: BaseHTTPRequestHandler) -> bytes:
    found = b""
    while size := int(handler.rfile.readline().partition(b";")[0], 16):
        found += handler.rfile.read(size)
        handler.rfile.readline()
    handler.rfile.readline()
    return found


def _refusal(refused: Refused) -> Answer:
    headers = {"Content-Type": "application/json", "X-Error-Message": refused.text.encode("ascii", "replace").decode()}
    if refused.code:
        headers["X-Error-Code"] = refused.code
    return Answer(refused.status, json.dumps({"error": refused.text}).encode(), {**headers, **refused.headers})
