"""A proxy on loopback that breaks what passes through it, by a rule, and counts what it broke."""

import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from enum import Enum
from http.client import HTTPConnection, HTTPException, HTTPResponse
from typing import BinaryIO, NamedTuple

_DROPPED = {"expect", "connection"}


class Fault(Enum):
    LATENCY = "latency"
    SLOW = "slow bytes"
    CUT_REQUEST = "request cut"
    CUT_ANSWER = "answer cut"
    ERROR_500 = "500"
    SLOW_DOWN = "503 SlowDown"
    WRONG_BYTES = "wrong bytes"
    LOST_ANSWER = "answer lost"
    HANG = "hangs"


class Request(NamedTuple):
    number: int
    method: str
    target: str
    size: int
    """bytes of the body"""


Rule = Callable[[Request], Fault | None]
_ERROR = {Fault.ERROR_500: (500, "InternalError"), Fault.SLOW_DOWN: (503, "SlowDown")}


class Proxy:
    """Forwards to 127.0.0.1:`port`. `injected` counts faults by name, `requests` all that was asked."""

    def __init__(self, port: int, rule: Rule) -> None:
        self.rule = rule
        self.injected: Counter[str] = Counter()
        self.requests = 0
        self._to = port
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._stopped = threading.Event()
        self._listener = _listen(0)
        self.port = self._listener.getsockname()[1]
        self._start()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @contextmanager
    def away(self) -> Iterator[None]:
        """Cuts every connection and refuses new ones while open."""
        self._close_all()
        self.injected["refused"] += 1
        try:
            yield
        finally:
            self._listener = _listen(self.port)
            self._start()

    def close(self) -> None:
        self._stopped.set()
        self._close_all()

    def _start(self) -> None:
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def _close_all(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            for held in self._open:
                _reset(held)
            self._open.clear()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            with self._lock:
                self._open.add(client)
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        server = HTTPConnection("127.0.0.1", self._to, timeout=60)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            with client.makefile("rb") as incoming:
                while self._exchange(client, incoming, server):
                    pass
        except (OSError, HTTPException, ValueError):
            pass  # one side is gone: so is the other
        finally:
            server.close()
            with self._lock:
                self._open.discard(client)
            _reset(client)

    def _exchange(self, client: socket.socket, incoming: BinaryIO, server: HTTPConnection) -> bool:
        """One request and its answer; False where the connection ends with it."""
        line = incoming.readline().decode("latin-1").split()
        if len(line) != 3:
            return False
        headers = _headers(incoming)
        size = int(next((value for name, value in headers if name.lower() == "content-length"), "0"))
        with self._lock:
            self.requests += 1
            request = Request(self.requests, line[0], line[1], size)
            fault = self.rule(request)
            if fault:
                self.injected[fault.value] += 1
        if any(name.lower() == "expect" for name, _ in headers):
            client.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        if fault is Fault.CUT_REQUEST:
            incoming.read(size // 2)
            return False
        body = incoming.read(size)
        if fault is Fault.HANG:
            self._stopped.wait(600)
            return False
        if fault in (Fault.LATENCY, Fault.SLOW):
            time.sleep(0.05)
        if fault in _ERROR:
            client.sendall(_error(*_ERROR[fault], request.method))
            return True
        answer, content = _forward(server, request, headers, body)
        return fault is not Fault.LOST_ANSWER and _answer(client, request, answer, content, fault)


def _forward(server: HTTPConnection, request: Request, headers: list[tuple[str, str]], body: bytes) -> tuple:
    server.putrequest(request.method, request.target, skip_host=True, skip_accept_encoding=True)
    for name, value in headers:
        if name.lower() not in _DROPPED:
            server.putheader(name, value)
    server.endheaders(body or None)
    answer = server.getresponse()
    return answer, answer.read()


def _answer(client: socket.socket, request: Request, answer: HTTPResponse, content: bytes, fault: Fault | None) -> bool:
    lines = [f"HTTP/1.1 {answer.status} {answer.reason}"]
    lines += [f"{name}: {value}" for name, value in answer.getheaders() if name.lower() not in (
        "content-length", "transfer-encoding", "connection")]  # fmt: skip
    length = answer.getheader("Content-Length") if request.method == "HEAD" else str(len(content))
    if answer.status != 204:
        lines.append(f"Content-Length: {length or 0}")
    if fault is Fault.WRONG_BYTES and content and answer.status < 300:
        middle = len(content) // 2
        content = content[:middle] + bytes([content[middle] ^ 0xFF]) + content[middle + 1 :]
    client.sendall("\r\n".join([*lines, "", ""]).encode("latin-1"))
    if fault is Fault.CUT_ANSWER:
        client.sendall(content[: len(content) // 2])
        return False
    if fault is Fault.SLOW:
        quarter = max(len(content) // 4, 1)
        for start in range(0, len(content), quarter):
            client.sendall(content[start : start + quarter])
            time.sleep(0.02)
        return True
    client.sendall(content)
    return True


def _error(status: int, code: str, method: str) -> bytes:
    body = f"<Error><Code>{code}</Code><Message>injected</Message></Error>" if method != "HEAD" else ""
    head = f"HTTP/1.1 {status} {code}\r\nContent-Type: application/xml\r\nContent-Length: {len(body)}\r\n\r\n"
    return (head + body).encode()


def _headers(incoming: BinaryIO) -> list[tuple[str, str]]:
    found = []
    while line := incoming.readline().decode("latin-1").rstrip("\r\n"):
        name, _, value = line.partition(":")
        found.append((name, value.strip()))
    return found


def _listen(port: int) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(128)
    return listener


def _reset(held: socket.socket) -> None:
    with suppress(OSError):
        held.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    with suppress(OSError):
        held.shutdown(socket.SHUT_RDWR)
    held.close()


@contextmanager
def breaking(port: int, rule: Rule) -> Iterator[Proxy]:
    proxy = Proxy(port, rule)
    try:
        yield proxy
    finally:
        proxy.close()
