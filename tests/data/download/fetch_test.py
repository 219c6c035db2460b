import errno
import hashlib
import itertools
import pathlib
import random
import threading
import types

import pytest

from hsjax.data.download import fetch
from hsjax.data.download.session import Session
from hsjax.types import UserError

CONTENT = random.Random(0).randbytes(1_000_000)
OTHER = random.Random(1).randbytes(1_000_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def get(server, tmp_path, patience):
    """Fetches NAME into the folder; what there was under the name before is `before`."""
    parts = tmp_path / "parts"
    parts.mkdir()

    def run(name="file", *, max_bytes=10**7, sha256="", address="", **keywords):
        keywords = {"patience": patience, **keywords}
        session = Session(keywords["patience"].timeout)
        try:
            return fetch.fetch(
                session,
                address or server.address + name,
                tmp_path / "file",
                parts,
                max_bytes=max_bytes,
                sha256=sha256,
                **keywords,
            )
        finally:
            session.close_all()

    run.parts = parts
    run.file = tmp_path / "file"
    return run


def test_whole(server, get):
    server.serve("file", CONTENT)
    assert get(sha256=SHA256) == len(CONTENT)
    assert get.file.read_bytes() == CONTENT
    assert list(get.parts.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"x", bytes(2**16), bytes(2**16 + 1)])
@pytest.mark.parametrize("chunked", [False, True])
def test_any_length(server, get, content, chunked):
    server.serve("file", content, chunked=chunked)
    get(sha256=hashlib.sha256(content).hexdigest())
    assert get.file.read_bytes() == content


@pytest.mark.parametrize("manners", [{}, {"etag": False, "dated": True}, {"etag": False}], ids=["tag", "date", "none"])
def test_dropped_connections_are_resumed(server, get, manners):
    server.serve("file", CONTENT, drops=[400_000, 100_000], **manners)
    get(sha256=SHA256)
    assert get.file.read_bytes() == CONTENT
    assert [one.range for one in server.log] == [None, "bytes=400000-", "bytes=500000-"]
    assert [one.sent for one in server.log] == [400_000, 100_000, 500_000]
    assert sum(one.sent for one in server.log) == len(CONTENT)


def test_later_call_goes_on(server, get, patience):
    served = server.serve("file", CONTENT, drops=[400_000], statuses=[])
    once = fetch.Patience(patience.timeout, attempts=1)
    with pytest.raises(UserError, match=r"connection ended after 400000 of 1000000 bytes.*goes on where it stopped"):
        get(patience=once)
    assert not get.file.exists()
    assert len(list(get.parts.iterdir())) == 2
    assert served.drops == []
    get(sha256=SHA256)
    assert server.log[-1].range == "bytes=400000-"
    assert server.log[-1].sent == 600_000


def test_complete_partial_needs_no_request(server, get, monkeypatch):
    """Killed after the last byte and before the renaming."""
    server.serve("file", CONTENT)

    def killed(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(fetch.checksums, "of_file", killed)
        with pytest.raises(KeyboardInterrupt):
            get(sha256=SHA256)
    get(sha256=SHA256)
    assert len(server.log) == 1
    assert get.file.read_bytes() == CONTENT


@pytest.mark.parametrize("manners", [{}, {"etag": False, "dated": True}, {"etag": False}], ids=["tag", "date", "none"])
@pytest.mark.parametrize("size", [len(OTHER), 900_000])
def test_file_that_changed_meanwhile_is_begun_anew(server, get, patience, manners, size):
    server.serve("file", CONTENT, drops=[400_000], **manners)
    with pytest.raises(UserError):
        get(patience=fetch.Patience(patience.timeout, attempts=1))
    server.serve("file", OTHER[:size], **manners)
    get(sha256=hashlib.sha256(OTHER[:size]).hexdigest())
    assert get.file.read_bytes() == OTHER[:size]


@pytest.mark.parametrize("manners", [{}, {"etag": False, "dated": True}], ids=["tag", "date"])
def test_server_says_itself_that_the_file_changed(server, get, patience, manners):
    """No checksum is needed, and no second request."""
    server.serve("file", CONTENT, drops=[400_000], **manners)
    with pytest.raises(UserError):
        get(patience=fetch.Patience(patience.timeout, attempts=1))
    server.serve("file", OTHER, **manners)
    get()
    assert get.file.read_bytes() == OTHER
    assert [one.status for one in server.log] == [200, 200]


@pytest.mark.parametrize(("etag", "size"), [(True, len(OTHER)), (False, 900_000)])
def test_range_of_another_file_is_recognised(server, get, patience, etag, size):
    """By its tag or its length, where the server ignores If-Range or gave nothing to ask with."""
    server.serve("file", CONTENT, drops=[400_000], etag=etag)
    with pytest.raises(UserError):
        get(patience=fetch.Patience(patience.timeout, attempts=1))
    server.serve("file", OTHER[:size], etag=etag, stubborn=True)
    get()
    assert get.file.read_bytes() == OTHER[:size]
    assert [one.status for one in server.log] == [200, 206, 200]


def test_server_without_ranges(server, get):
    server.serve("file", CONTENT, drops=[400_000], ranges=False)
    get(sha256=SHA256)
    assert get.file.read_bytes() == CONTENT
    assert [one.status for one in server.log] == [200, 200]


def test_server_with_wrong_ranges(server, get, patience):
    """It answers with another part than was asked for."""
    served = server.serve("file", CONTENT, drops=[400_000])
    with pytest.raises(UserError):
        get(patience=fetch.Patience(patience.timeout, attempts=1))
    served.headers["Content-Range"] = "bytes 7-9/12"
    note = next(get.parts.glob("*.json"))
    assert "1000000" in note.read_text()
    get(sha256=SHA256)
    assert get.file.read_bytes() == CONTENT


@pytest.mark.parametrize("note", ["", "{", "[]", '{"address": 1}', '{"address": "x", "validator": 3, "total": "y"}'])
def test_damaged_note_is_a_new_beginning(server, get, patience, note):
    server.serve("file", CONTENT, drops=[400_000])
    with pytest.raises(UserError):
        get(patience=fetch.Patience(patience.timeout, attempts=1))
    next(get.parts.glob("*.json")).write_text(note)
    get(sha256=SHA256)
    assert server.log[-1].range is None


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503])
def test_passing_failures_are_tried_again(server, get, status):
    server.serve("file", CONTENT, statuses=[status, status])
    get(sha256=SHA256)
    assert [one.status for one in server.log] == [status, status, 200]


def test_lasting_failure(server, get, patience):
    server.serve("file", CONTENT, statuses=[503] * 10)
    with pytest.raises(fetch.UnavailableError, match=r"answers 503.*check the network and repeat"):
        get()
    assert len(server.log) == patience.attempts


@pytest.mark.parametrize("status", [401, 403, 404, 410, 418])
def test_refusals_are_final(server, get, status):
    server.serve("file", CONTENT, statuses=[status])
    with pytest.raises(fetch.UnavailableError, match=f"not to be had .{status}.*dataset's page"):
        get()
    assert len(server.log) == 1
    assert not get.file.exists()


def test_no_server(server, get):
    address = server.address + "file"
    server.http.server_close()
    with pytest.raises(fetch.UnavailableError, match="could not be fetched"):
        get(address=address)


def test_silent_server(server, get):
    server.serve("file", CONTENT, gate=threading.Event(), ranges=False)
    with pytest.raises(fetch.UnavailableError, match="timed out"):
        get(patience=fetch.Patience(timeout=0.1, attempts=2, pause=0.01))


def test_trickling_server(server, get, patience, monkeypatch):
    """Every look at the clock finds it 4 s later."""
    server.serve("file", CONTENT, ranges=False)
    seconds = itertools.count(step=4)
    monkeypatch.setattr(fetch, "time", types.SimpleNamespace(monotonic=lambda: next(seconds)))
    with pytest.raises(fetch.UnavailableError, match=r"only .* bytes in"):
        get(patience=fetch.Patience(patience.timeout, attempts=2, pause=0.01, slowest=1e9))


@pytest.mark.parametrize(
    "manners",
    [{"endless": True}, {"announce": 10**12}, {"chunked": True}, {}],
    ids=["endless", "announced", "chunked", "plain"],
)
def test_too_large(server, get, manners):
    server.serve("file", CONTENT, **manners)
    with pytest.raises(fetch.UnavailableError, match="larger than the 300000 bytes"):
        get(max_bytes=300_000)
    assert list(get.parts.iterdir()) == []
    assert not get.file.exists()


def test_length_that_promises_too_much(server, get):
    server.serve("file", CONTENT[:500_000], announce=1_000_000, ranges=False)
    with pytest.raises(fetch.UnavailableError, match="ended after 500000 of 1000000"):
        get()


def test_length_that_promises_too_little(server, get):
    server.serve("file", CONTENT, announce=500_000)
    with pytest.raises(fetch.ChecksumError):
        get(sha256=SHA256)
    assert not get.file.exists()


def test_wrong_checksum_leaves_what_was_there(server, get):
    server.serve("file", OTHER)
    get.file.write_bytes(b"before")
    found = hashlib.sha256(OTHER).hexdigest()
    with pytest.raises(fetch.ChecksumError, match=f"{found}, not {SHA256}, and was removed: repeat"):
        get(sha256=SHA256)
    assert get.file.read_bytes() == b"before"
    assert list(get.parts.iterdir()) == []


def test_compressed_answer(server, get):
    server.serve("file", CONTENT, headers={"Content-Encoding": "gzip"})
    with pytest.raises(fetch.UnavailableError, match="compressed"):
        get()


def test_redirect(server, get):
    server.serve("old", statuses=[302], location="sub/../new%20name")
    server.serve("sub/../new name", CONTENT)
    server.serve("new name", CONTENT)
    get("old", sha256=SHA256)


def test_redirect_keeps_the_range(server, get, patience):
    server.serve("old", statuses=[307], location="/new")
    server.serve("new", CONTENT, drops=[400_000])
    get("old", sha256=SHA256)
    assert [one.sent for one in server.asked("new")] == [400_000, 600_000]


def test_redirect_in_circles(server, get):
    server.serve("file", statuses=[302], location="/other")
    server.serve("other", statuses=[301], location="/file")
    with pytest.raises(UserError, match="redirects more than 5 times"):
        get()
    assert len(server.log) == 6


@pytest.mark.parametrize("location", ["file:///etc/passwd", "ftp://127.0.0.1/x", "data:,x", "javascript:1"])
def test_redirect_to_what_is_no_web_address(server, get, location):
    server.serve("file", statuses=[302], location=location)
    with pytest.raises(UserError, match=r"redirects to .* not a web address"):
        get()


def test_proxy(server, get, monkeypatch):
    """The address of a host that does not exist goes to the proxy whole."""
    monkeypatch.setenv("http_proxy", server.address)
    monkeypatch.setenv("no_proxy", "")
    server.serve("folder/file", CONTENT)
    get(address="http://no-such-host.invalid/folder/file", sha256=SHA256)


def test_connections_stay_open(server, get, tmp_path, patience):
    server.serve("file", b"x")
    session = Session(patience.timeout)
    connections = []
    accept = server.http.get_request
    server.http.get_request = lambda: connections.append(1) or accept()
    for _ in range(5):
        fetch.fetch(session, server.address + "file", get.file, get.parts, max_bytes=10, patience=patience)
    session.close_all()
    assert len(connections) == 1


def test_connection_closed_by_the_server_in_the_meantime(server, get, patience):
    server.serve("file", b"x")
    session = Session(patience.timeout)
    once = fetch.Patience(patience.timeout, attempts=1)
    fetch.fetch(session, server.address + "file", get.file, get.parts, max_bytes=10, patience=once)
    for connection in session._connections().values():
        connection.sock.shutdown(2)
    fetch.fetch(session, server.address + "file", get.file, get.parts, max_bytes=10, patience=once)
    session.close_all()


def test_disk_full_keeps_what_came(server, get, monkeypatch):
    """The error reaches the caller as what it is, and the next call goes on."""
    server.serve("file", CONTENT)
    opened = pathlib.Path.open

    class Full:
        def __init__(self, stream):
            self.stream = stream

        def __enter__(self):
            return self

        def __exit__(self, *error):
            self.stream.close()

        def write(self, chunk):
            if self.stream.tell() > 400_000:
                raise OSError(errno.ENOSPC, "No space left on device")
            return self.stream.write(chunk)

    with monkeypatch.context() as patched:
        patched.setattr(
            pathlib.Path,
            "open",
            lambda self, mode="r", *rest, **named: (
                Full(opened(self, mode)) if mode in ("wb", "ab") else opened(self, mode, *rest, **named)
            ),
        )
        with pytest.raises(OSError, match="No space"):
            get()
    assert len(server.log) == 1
    get(sha256=SHA256)
    assert 600_000 >= server.log[-1].sent > 500_000


def test_cancelled(server, get):
    server.serve("file", CONTENT)
    stop = threading.Event()
    stop.set()
    with pytest.raises(fetch.CancelledError):
        get(cancelled=stop)


def test_progress_counts_kilobytes(server, get, monkeypatch):
    amounts = []

    class Bar:
        def __init__(self, description, total):
            amounts.append((description, total))

        def __enter__(self):
            return amounts.append

        def __exit__(self, *error):
            pass

    monkeypatch.setattr(fetch.progress, "bar", Bar)
    server.serve("file", CONTENT, drops=[400_000])
    get(describe=True)
    assert amounts[0] == ("file, kB", 1000)
    assert sum(amounts[1:]) == 1000
