"""A server on loopback that logs what it is asked and can be told to misbehave."""

import dataclasses
import email.utils
import hashlib
import http.server
import pathlib
import threading
import urllib.parse
from collections.abc import Callable, Iterator

import pytest

from hsjax.data.download.fetch import Patience


@dataclasses.dataclass
class Served:
    """One address's file and manners."""

    content: bytes = b""
    etag: bool = True
    dated: bool = False
    ranges: bool = True
    stubborn: bool = False  # gives ranges of whatever it has, If-Range or not
    drops: list[int] = dataclasses.field(default_factory=list)  # bytes after which each answer in turn breaks off
    statuses: list[int] = dataclasses.field(default_factory=list)  # what the first answers say instead
    location: str = ""
    announce: int | None = None  # what Content-Length claims
    chunked: bool = False
    endless: bool = False
    headers: dict[str, str] = dataclasses.field(default_factory=dict)
    gate: threading.Event | None = None  # is waited for after the first half


@dataclasses.dataclass
class Asked:
    path: str
    range: str | None
    if_range: str | None
    status: int = 0
    sent: int = 0


class Server:
    def __init__(self) -> None:
        self.files: dict[str, Served] = {}
        self.log: list[Asked] = []
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, format, *args):
                pass

            def do_GET(self):
                server.answer(self)

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.http.handle_error = lambda *details: None  # clients that break off are what is tested
        self.address = f"http://127.0.0.1:{self.http.server_address[1]}/"
        self.thread = threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    def serve(self, name: str, content: bytes = b"", **manners) -> Served:
        self.files[name] = served = Served(content, **manners)
        return served

    def asked(self, name: str) -> list[Asked]:
        return [one for one in self.log if one.path == name]

    def answer(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        path = urllib.parse.unquote(urllib.parse.urlsplit(handler.path).path.lstrip("/"))
        asked = Asked(path, handler.headers.get("Range"), handler.headers.get("If-Range"))
        self.log.append(asked)
        served = self.files.get(path)
        status = 404 if served is None else served.statuses.pop(0) if served.statuses else 200
        if served is None or status != 200:
            asked.status = status
            handler.send_response(status)
            if served is not None and served.location:
                handler.send_header("Location", served.location)
                served.statuses.append(status)  # for ever
            handler.send_header("Content-Length", "0")
            handler.end_headers()
            return
        content, start = served.content, 0
        tag = f'"{hashlib.sha256(content).hexdigest()[:8]}"'
        date = email.utils.formatdate(int.from_bytes(hashlib.sha256(content).digest()[:3]), usegmt=True)
        same = asked.if_range in (None, tag if served.etag else None, date if served.dated else None)
        if served.ranges and asked.range and (same or served.stubborn):
            start = int(asked.range.removeprefix("bytes=").removesuffix("-"))
            status = 206 if start < len(content) else 416
        asked.status = status
        body = content[start:]
        handler.send_response(status)
        if served.etag:
            handler.send_header("ETag", tag)
        if served.dated:
            handler.send_header("Last-Modified", date)
        if status == 206:
            handler.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        if served.chunked or served.endless:
            handler.send_header("Transfer-Encoding", "chunked")
        else:
            handler.send_header("Content-Length", str(len(body) if served.announce is None else served.announce))
        for header in served.headers.items():
            handler.send_header(*header)
        handler.end_headers()
        limit = served.drops.pop(0) if served.drops else None
        try:
            self._send(handler, served, asked, body if limit is None else body[:limit])
            if limit is not None or (served.announce or 0) > len(body):
                handler.close_connection = True
        except OSError:  # the other end has had enough
            handler.close_connection = True

    def _send(self, handler, served: Served, asked: Asked, body: bytes) -> None:
        if served.endless:
            while True:
                handler.wfile.write(b"10000\r\n" + bytes(1 << 16) + b"\r\n")
                asked.sent += 1 << 16
        for begin in range(0, len(body), 1 << 14):
            chunk = body[begin : begin + (1 << 14)]
            if served.gate is not None and begin >= len(body) // 2:
                handler.wfile.flush()
                served.gate.wait(20)
            asked.sent += len(chunk)
            handler.wfile.write(b"%x\r\n%b\r\n" % (len(chunk), chunk) if served.chunked else chunk)
        if served.chunked:
            handler.wfile.write(b"0\r\n\r\n")

    def close(self) -> None:
        for served in self.files.values():
            if served.gate is not None:
                served.gate.set()
        self.http.shutdown()
        self.http.server_close()
        self.thread.join()


@pytest.fixture
def server(monkeypatch) -> Iterator[Server]:
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    one = Server()
    yield one
    one.close()


@pytest.fixture
def patience() -> Patience:
    """Of a test, which has none."""
    return Patience(timeout=5.0, attempts=3, pause=0.01)


@pytest.fixture
def register(tmp_path) -> Callable[..., pathlib.Path]:
    """Writes a register of one dataset, and its checksums."""

    def write(name: str, body: str, sums: dict[str, bytes] | None = None) -> pathlib.Path:
        folder = tmp_path / "register"
        folder.mkdir(exist_ok=True)
        lines = [f"{hashlib.sha256(content).hexdigest()}  {path}\n" for path, content in (sums or {}).items()]
        (folder / "known.sha256").write_text("".join(lines), encoding="utf-8")
        (folder / "datasets.toml").write_text(f"[{name}.download]\n{body}\n", encoding="utf-8")
        return folder / "datasets.toml"

    return write
