"""One file over HTTP: streamed to disk, resumed where it stopped, checked before it takes its name.

Ranges and validators are as in RFC 9110 (sections 13.1.5 and 14).
"""

import contextlib
import dataclasses
import http.client
import os
import pathlib
import re
import threading
import time
import urllib.parse
from collections.abc import Callable

from hsjax import progress
from hsjax.data.download import checksums
from hsjax.data.download.note import Note
from hsjax.data.download.session import DroppedError, Session
from hsjax.types import UserError

_CHUNK = 1 << 16
_GONE = (400, 401, 403, 404, 405, 406, 410, 451)
_LATER = (408, 425, 429)
_CONTENT_RANGE = re.compile(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)")
# Files of less are fetched anew: noting how far one came takes longer.
_WORTH_RESUMING = 1 << 18


@dataclasses.dataclass(frozen=True)
class Patience:
    """How long a server is waited for.

    Attributes:
      timeout: s without a byte, after which a connection counts as dropped.
      attempts: in a row that bring no new byte.
      pause: s before the second of them; doubled before each further one.
      slowest: bytes/s; less, over `timeout`, counts as dropped.
    """

    timeout: float = 30.0
    attempts: int = 6
    pause: float = 1.0
    slowest: float = 16.0


class UnavailableError(UserError):
    """The address gives no file; another one may."""


class ChecksumError(UserError):
    """The file is not the one that is known."""


class CancelledError(Exception):
    """Another file failed, and there is no point in going on with this one."""


class Fetch:
    """Fetches one file; see `fetch`."""

    def __init__(
        self,
        session: Session,
        address: str,
        partial: pathlib.Path,
        max_bytes: int,
        patience: Patience,
        bar: Callable[[int, int], None] | None,
        cancelled: threading.Event | None,
    ):
        self._session, self._address, self._partial = session, address, partial
        self._note = partial.with_name(f"{partial.name}.json")
        self._max_bytes, self._patience = max_bytes, patience
        self._bar = bar
        self._cancelled = cancelled or threading.Event()
        self.resumed = False

    def discard(self) -> None:
        """Forgets what is there."""
        self._note.unlink(missing_ok=True)
        self._partial.unlink(missing_ok=True)

    def run(self) -> None:
        """Completes the partial file, with as many attempts as it takes."""
        failures = 0
        furthest = self._offset()
        while True:
            try:
                if self._attempt():
                    return
                continue
            except DroppedError as error:
                self._session.close()
                failures = 1 if self._offset() > furthest else failures + 1
                furthest = max(furthest, self._offset())
                if failures >= self._patience.attempts:
                    raise UnavailableError(
                        f"{self._address} could not be fetched ({error}): check the network and repeat the command, "
                        "which goes on where it stopped"
                    ) from error
                pause = self._patience.pause * 2 ** (failures - 1)
            if self._cancelled.wait(min(pause, 60.0)):
                raise CancelledError

    def _offset(self) -> int:
        with contextlib.suppress(FileNotFoundError):
            return self._partial.stat().st_size
        return 0

    def _attempt(self) -> bool:
        """One request; whether the file is complete, or else is to be asked for from its beginning."""
        state, offset = Note.read(self._note, self._address), self._offset()
        if state is None or offset == 0 or (state.total is not None and offset > state.total):
            state, offset = None, 0
        if state is not None and state.total == offset:
            self.resumed = True
            return True
        headers = {}
        if offset:
            headers["Range"] = f"bytes={offset}-"
            if state is not None and state.validator:
                headers["If-Range"] = state.validator
        response = self._session.get(self._address, headers)
        with self._closed_unless_read(response):
            if response.status == 206 and offset:
                if not self._continues(response, state, offset):
                    self.discard()
                    return False
                self.resumed = True
                self._receive(response, "ab", offset, state.total if state is not None else None)
                return True
            if response.status == 416 and offset:
                self.discard()
                return False
            if response.status == 200:
                self._begin(response)
                return True
            self._refuse(response)
        return False

    def _begin(self, response: http.client.HTTPResponse) -> None:
        if (response.getheader("Content-Encoding") or "identity") != "identity":
            raise UnavailableError(f"{self._address} is sent compressed although that was not asked for: report it")
        state = Note(self._address, _validator(response), _length(response))
        if state.total is not None and state.total > self._max_bytes:
            raise UnavailableError(self._too_large())
        self.discard()
        if state.total is None or state.total >= _WORTH_RESUMING:
            state.write(self._note)
        self._receive(response, "wb", 0, state.total)

    def _continues(self, response: http.client.HTTPResponse, state: Note | None, offset: int) -> bool:
        """Whether a partial answer is the rest of the very file that was begun."""
        match = _CONTENT_RANGE.fullmatch(response.getheader("Content-Range") or "")
        if match is None or match[1] is None or int(match[1]) != offset or state is None:
            return False
        total = None if match[3] == "*" else int(match[3])
        tag = response.getheader("ETag")
        changed = tag and state.validator.startswith('"') and tag != state.validator
        return not changed and (total is None or state.total is None or total == state.total)

    def _receive(self, response: http.client.HTTPResponse, mode: str, offset: int, total: int | None) -> None:
        if self._bar is not None:
            self._bar(offset, total or 0)
        announced = _length(response)
        received = 0
        window_began, window_bytes = time.monotonic(), 0
        with self._partial.open(mode) as stream:
            while True:
                if self._cancelled.is_set():
                    raise CancelledError
                try:
                    chunk = response.read1(_CHUNK)
                except (OSError, http.client.HTTPException, ValueError) as error:
                    raise DroppedError(str(error) or type(error).__name__) from error
                if not chunk:
                    break
                received += len(chunk)
                if offset + received > self._max_bytes:
                    stream.close()
                    self.discard()
                    raise UnavailableError(self._too_large())
                stream.write(chunk)
                if self._bar is not None:
                    self._bar(offset + received, total or 0)
                window_bytes += len(chunk)
                if (elapsed := time.monotonic() - window_began) > self._patience.timeout:
                    if window_bytes < self._patience.slowest * elapsed:
                        raise DroppedError(f"only {window_bytes} bytes in {elapsed:.0f} s")
                    window_began, window_bytes = time.monotonic(), 0
        if announced is not None and received == announced:
            response.close()  # read1 leaves that open, and the connection could not be used again
        end = total if total is not None else offset + announced if announced is not None else None
        if end is not None and offset + received > end:
            self.discard()
        if end is not None and offset + received != end:
            raise DroppedError(f"the connection ended after {offset + received} of {end} bytes")

    def _refuse(self, response: http.client.HTTPResponse) -> None:
        said = f"{response.status} {response.reason}".strip()
        if response.status in _LATER or response.status >= 500:
            after = response.getheader("Retry-After") or ""
            if after.isdigit() and self._cancelled.wait(min(int(after), 60)):
                raise CancelledError
            raise DroppedError(f"the server answers {said}")
        hint = "it has moved or needs a login" if response.status in _GONE else "the answer is not understood"
        raise UnavailableError(
            f"{self._address} is not to be had ({said}; {hint}): look for it on the dataset's page, and report it"
        )

    def _too_large(self) -> str:
        return f"{self._address} is larger than the {self._max_bytes} bytes that it may have: report it"

    @contextlib.contextmanager
    def _closed_unless_read(self, response: http.client.HTTPResponse):
        """A connection whose answer was not read to its end cannot be used again."""
        try:
            yield
        finally:
            if not response.isclosed():
                self._session.close()


def fetch(
    session: Session,
    address: str,
    destination: pathlib.Path,
    parts: pathlib.Path,
    *,
    max_bytes: int,
    sha256: str = "",
    patience: Patience | None = None,
    describe: bool = False,
    cancelled: threading.Event | None = None,
) -> int:
    """Fetches a file into `destination`, which it replaces, all at once, only when it is complete and right.

    Args:
      session: connections.
      address: http or https.
      destination: on the same file system as `parts`.
      parts: folder of what is incomplete; a later call goes on with it, even after a kill.
      max_bytes: a longer file is refused, whatever the server announced.
      sha256: in hexadecimal; empty checks nothing.
      patience: how long to wait for the server.
      describe: whether to show a bar, in kB.
      cancelled: stops it when set.

    Returns:
      How many bytes the file has.

    Raises:
      UnavailableError: the server does not give it.
      ChecksumError: it is not the known one; it is removed.
      UserError: the server redirects to where nobody should follow.
      CancelledError: `cancelled` was set.
    """
    partial = parts / f"{urllib.parse.quote(destination.name, safe='')}-{_short(address)}.partial"
    with _bar(destination.name) if describe else contextlib.nullcontext() as bar:
        one = Fetch(session, address, partial, max_bytes, patience or Patience(), bar, cancelled)
        one.run()
        if sha256 and checksums.of_file(partial) != sha256 and one.resumed:
            # Halves of two files, if the server has no way to say that it changed; once more, in one piece.
            one.discard()
            one.resumed = False
            one.run()
    if sha256 and (found := checksums.of_file(partial)) != sha256:
        one.discard()
        raise ChecksumError(
            f"{address} has the SHA-256 {found}, not {sha256}, and was removed: repeat the command, and report it if "
            "that does not help"
        )
    size = partial.stat().st_size
    os.replace(partial, destination)
    one.discard()
    return size


def _short(address: str) -> str:
    return checksums.of_text(address)[:12]


def _validator(response: http.client.HTTPResponse) -> str:
    """What If-Range may be asked with: a strong entity tag, or else a date."""
    tag = response.getheader("ETag") or ""
    return tag if tag.startswith('"') else response.getheader("Last-Modified") or ""


def _length(response: http.client.HTTPResponse) -> int | None:
    # The module's own `length` counts down while the body is read, and is None for chunks.
    return response.length


@contextlib.contextmanager
def _bar(name: str):
    """A bar that appears when the length is known; it takes bytes done and bytes in all."""
    shown = 0
    with contextlib.ExitStack() as stack:
        advance = None

        def update(done: int, total: int) -> None:
            nonlocal advance, shown
            if advance is None:
                advance = stack.enter_context(progress.bar(f"{name}, kB", total // 1000))
            if done // 1000 > shown:
                advance(done // 1000 - shown)
                shown = done // 1000

        yield update
