"""From a dataset's official address to its folder below the root, checked.

Two kinds: a folder of single files with a list of their SHA-256, which is fetched first (PhysioNet); and archives,
whose files are checked one by one as far as their SHA-256 is registered.
"""

import concurrent.futures
import contextlib
import dataclasses
import fnmatch
import functools
import pathlib
import shutil
import threading
import urllib.parse
from collections.abc import Iterable, Mapping

from hsjax import progress
from hsjax.data.download import checksums, fetch, marks, names, place, register, unpack
from hsjax.data.download.session import Session
from hsjax.types import UserError

# Requests at a time: enough to hide the time a request travels, and few enough to be a polite guest.
_CONNECTIONS = 4
_LIST_BYTES = 32 * 10**6
_NAMED = 3


@dataclasses.dataclass(frozen=True)
class Summary:
    """What a download did. As a string, it is what the user is told.

    Attributes:
      name: of the dataset.
      folder: where it is.
      num_files: the distribution's files there.
      num_fetched: files or archives that came over the network now; 0 if everything had been there.
      num_bytes: of them.
      unverified: files without a known SHA-256.
      missing: optional files that were not to be had.
    """

    name: str
    folder: pathlib.Path
    num_files: int
    num_fetched: int
    num_bytes: int
    unverified: tuple[str, ...]
    missing: tuple[str, ...] = ()

    def __str__(self) -> str:
        what = f"{self.name}: {self.num_files} files in {self.folder}"
        fetched = f"{self.num_fetched} fetched ({self.num_bytes / 1e6:.1f} MB)"
        lines = [f"{what}, {fetched if self.num_fetched else 'complete, nothing was fetched'}"]
        verified = self.num_files - len(self.unverified)
        lines.append(f"  SHA-256 right: {verified}; not verified, because none is known: {len(self.unverified)}")
        if self.unverified:
            more = ", ..." if len(self.unverified) > _NAMED else ""
            lines[-1] += f" ({', '.join(self.unverified[:_NAMED])}{more}; all of them in {place.RECEIPT})"
        lines += [f"  not to be had: {name}" for name in self.missing]
        return "\n".join(lines)


def download(
    name: str,
    root: pathlib.Path,
    register_file: pathlib.Path = register.REGISTER,
    patience: fetch.Patience | None = None,
) -> Summary:
    """Fetches a dataset from its official address into its folder below `root`.

    What an interrupted call left is gone on with. A folder that is there already is completed; none of its files is
    replaced.

    Args:
      name: one of `register.available()`.
      root: folder of all distributions; made if need be.
      register_file: says where everything lies.
      patience: how long to wait for a server.

    Raises:
      UserError: it is not registered, the server or the disk does not play along, a checksum is wrong, an archive is
        not what it should be, files that stand in the way differ, or another process is at it. The message says what
        to do; the folder is as before.
    """
    distribution = register.read(name, register_file)
    patience = patience or fetch.Patience()
    with place.claim(root, distribution.folder) as here:
        if (done := _complete(distribution, here.destination)) is not None:
            here.clear()
            return done
        session = Session(patience.timeout)
        job = _Job(distribution, here, session, patience)
        try:
            summary = job.single_files() if distribution.base else job.archives()
        finally:
            session.close_all()
        here.clear()
        return summary


def _resources(distribution: register.Distribution) -> tuple[register.Resource, ...]:
    return (*distribution.archives, *filter(None, [distribution.marks]))


def _sources(distribution: register.Distribution) -> tuple[str, ...]:
    return (*filter(None, [distribution.base]), *(one.addresses[0] for one in _resources(distribution)))


def _complete(distribution: register.Distribution, folder: pathlib.Path) -> Summary | None:
    """What there is to say if an earlier download left everything as it should be.

    Raises:
      UserError: its files have been changed.
    """
    receipt = place.Receipt.read(folder)
    if receipt is None or receipt.sources != _sources(distribution):
        return None
    if any(not (folder / path).is_file() for path in receipt.files):
        return None
    _require_unchanged(folder, receipt.files)
    return Summary(distribution.name, folder, len(receipt.files), 0, 0, receipt.unverified)


def _require_unchanged(folder: pathlib.Path, files: Mapping[str, str]) -> None:
    different = []
    with progress.bar(f"checking {folder.name}, files", len(files)) as advance:
        for path, sha256 in files.items():
            if checksums.of_file(folder / path) != sha256:
                different.append(path)
            advance(1)
    if different:
        raise UserError(place.changed(folder, different, "what the distribution has"))


class _Job:
    def __init__(
        self, distribution: register.Distribution, here: place.Place, session: Session, patience: fetch.Patience
    ):
        self._distribution, self._place = distribution, here
        self._fetch = functools.partial(fetch.fetch, session, parts=here.parts, patience=patience)

    def single_files(self) -> Summary:
        """The files that the distribution's own list of checksums names."""
        distribution, tree = self._distribution, self._place.tree
        listed = self._place.parts / "sums"
        size = self._fetch(distribution.base + distribution.sums, listed, max_bytes=_LIST_BYTES)
        wanted = self._wanted(listed)
        self._require_expected(wanted)
        there = {path: sha for path, sha in wanted.items() if (self._place.destination / path).exists()}
        _require_unchanged(self._place.destination, there)
        absent = [path for path in wanted if path not in there and not place.is_file_with(tree / path, wanted[path])]
        sizes = self._fetch_all({path: wanted[path] for path in absent})
        # The list itself belongs to the distribution, and nothing vouches for it but the connection.
        if not (self._place.destination / distribution.sums).exists():
            shutil.copyfile(listed, tree / distribution.sums)
        place.Receipt(_sources(distribution), wanted, ()).write(tree)
        self._place.install()
        return Summary(distribution.name, self._place.destination, len(wanted), 1 + len(absent), size + sum(sizes), ())

    def _wanted(self, listed: pathlib.Path) -> dict[str, str]:
        distribution = self._distribution
        source = distribution.base + distribution.sums
        try:
            text = listed.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            raise UserError(f"{source} is no list of checksums: report it, or try again later") from None
        return {
            path: sha256
            for path, sha256 in checksums.parse(text, source).items()
            if any(fnmatch.fnmatchcase(path, pattern) for pattern in distribution.include)
        }

    def _fetch_all(self, wanted: Mapping[str, str]) -> list[int]:
        """Each file into the tree, several at a time; the first failure stops the others."""
        distribution, tree = self._distribution, self._place.tree
        cancelled = threading.Event()

        def one(path: str) -> int:
            target = tree / path
            target.parent.mkdir(parents=True, exist_ok=True)
            return self._fetch(
                distribution.base + urllib.parse.quote(path),
                target,
                max_bytes=distribution.max_bytes,
                sha256=wanted[path],
                cancelled=cancelled,
            )

        sizes = []
        with (
            progress.bar(f"{distribution.name}, files", len(wanted)) as advance,
            concurrent.futures.ThreadPoolExecutor(_CONNECTIONS) as pool,
        ):
            futures = [pool.submit(one, path) for path in wanted]
            try:
                for future in concurrent.futures.as_completed(futures):
                    sizes.append(future.result())
                    advance(1)
            except BaseException:
                cancelled.set()
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        return sizes

    def archives(self) -> Summary:
        """What the distribution's archives hold, renamed as the readers and the checksums know it."""
        distribution, tree = self._distribution, self._place.tree
        archives, count, size = [], 0, 0
        for resource in distribution.archives:
            path, amount = self._resource(resource)
            if path is not None:
                archives.append(path)
                count, size = count + bool(amount), size + amount
        shutil.rmtree(tree)
        tree.mkdir()
        taken = names.Taken()
        files = [file for archive in archives for file in self._unpacked(archive, taken)]
        self._require_expected(files)
        if distribution.marks is not None:
            path, amount = self._resource(distribution.marks)
            if path is not None:
                marks.write(marks.read(path), tree / marks.TABLE)
                files.append(marks.TABLE)
                count, size = count + bool(amount), size + amount
        digests = self._verified(files)
        unverified = tuple(sorted(path for path in files if path not in distribution.checksums))
        place.Receipt(_sources(distribution), digests, unverified).write(tree)
        self._place.install()
        missing = tuple(
            resource.name for resource in _resources(distribution) if not (self._place.parts / resource.name).is_file()
        )
        return Summary(distribution.name, self._place.destination, len(files), count, size, unverified, missing)

    def _resource(self, resource: register.Resource) -> tuple[pathlib.Path | None, int]:
        """The fetched file, and how many bytes of it were fetched now."""
        path = self._place.parts / resource.name
        if path.is_file():
            return path, 0
        failures = []
        for address in resource.addresses:
            with contextlib.suppress(fetch.CancelledError):
                try:
                    size = self._fetch(
                        address, path, max_bytes=self._distribution.max_bytes, sha256=resource.sha256, describe=True
                    )
                    return path, size
                except fetch.UnavailableError as error:
                    failures.append(error)
        if resource.optional:
            return None, 0
        raise failures[0]

    def _unpacked(self, archive: pathlib.Path, taken: names.Taken) -> list[str]:
        limits = unpack.Limits(self._distribution.max_unpacked)
        try:
            files, _ = unpack.unpack(archive, self._place.tree, limits, self._distribution.path, taken)
        except unpack.ArchiveError:
            archive.unlink()  # the next call fetches it again
            raise
        if not files:
            archive.unlink()
            raise UserError(f"{archive.name} has none of the files of {self._distribution.name}: report it")
        return files

    def _verified(self, files: list[str]) -> dict[str, str]:
        """SHA-256 of every file of the tree; all that are registered are right."""
        known = self._distribution.checksums
        if absent := sorted(known.keys() - set(files)):
            self._distrust()
            raise UserError(
                f"the archives of {self._distribution.name} lack {len(absent)} registered files, {absent[0]} among "
                "them: repeat the command to fetch them again, and report it if that does not help"
            )
        digests = {path: checksums.of_file(self._place.tree / path) for path in sorted(files)}
        if wrong := [path for path, digest in digests.items() if known.get(path, digest) != digest]:
            self._distrust()
            raise fetch.ChecksumError(
                f"{len(wrong)} files of {self._distribution.name} have not the registered SHA-256, {wrong[0]} among "
                "them, and were removed: repeat the command to fetch them again, and report it if that does not help"
            )
        return digests

    def _distrust(self) -> None:
        for folder in (self._place.tree, self._place.parts):
            shutil.rmtree(folder)
            folder.mkdir()

    def _require_expected(self, files: Iterable[str]) -> None:
        for pattern, count in self._distribution.expected.items():
            found = sum(fnmatch.fnmatchcase(path, pattern) for path in files)
            if found != count:
                if self._distribution.archives:
                    self._distrust()
                raise UserError(
                    f"{self._distribution.name} has {found} files {pattern}, not {count}: repeat the command to fetch "
                    "it again, and report it if that does not help"
                )
