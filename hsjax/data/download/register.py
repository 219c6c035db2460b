"""Where a dataset's official distribution lies and what it should be: `[NAME.download]` in third_party/datasets.toml.

The register stands at the top of the repository, beside the package and not inside it, where whoever checks what comes
from outside finds it. It is found from there because `pip install -e .` is how hsjax is installed.
"""

import dataclasses
import pathlib
import re
import tomllib
import urllib.parse
from collections.abc import Mapping

import hsjax
from hsjax.data.download import checksums
from hsjax.types import UserError

REGISTER = pathlib.Path(hsjax.__file__).resolve().parents[1] / "third_party" / "datasets.toml"

_MEGABYTE = 10**6


@dataclasses.dataclass(frozen=True)
class Resource:
    """One file of a distribution.

    Attributes:
      addresses: the first that answers is used.
      optional: a distribution without it is of use; the summary says that it is missing.
      sha256: empty where nobody published it.
    """

    addresses: tuple[str, ...]
    optional: bool = False
    sha256: str = ""

    @property
    def name(self) -> str:
        """What it is called here: the first address's last part, unquoted."""
        return checksums.file_name(self.addresses[0])


@dataclasses.dataclass(frozen=True)
class Distribution:
    """What is fetched, and what becomes of it.

    Attributes:
      name: of the dataset.
      folder: below the root of all distributions.
      base: address of the folder of single files, with its final slash; empty for archives.
      sums: name of the list of SHA-256 below `base`, which is fetched first.
      include: shell patterns of the listed files that are wanted.
      archives: are unpacked.
      marks: a table of heart sounds beside the archives, see `marks`.
      rename: pairs of a pattern, which a member's whole name in an archive must match, and its path below `folder`; the
        first that matches is used, and what none matches is left out. Without pairs, every member keeps its name.
      checksums: SHA-256 of files below `folder`, as far as known.
      expected: number of files by shell pattern.
      max_bytes: of one fetched file.
      max_unpacked: of all files of an archive.
    """

    name: str
    folder: str
    base: str
    sums: str
    include: tuple[str, ...]
    archives: tuple[Resource, ...]
    marks: Resource | None
    rename: tuple[tuple[re.Pattern[str], str], ...]
    checksums: Mapping[str, str]
    expected: Mapping[str, int]
    max_bytes: int
    max_unpacked: int

    def path(self, member: str) -> str | None:
        """Where a member of an archive belongs; None leaves it out."""
        if not self.rename:
            return member
        for pattern, path in self.rename:
            if match := pattern.fullmatch(member):
                return match.expand(path)
        return None


@dataclasses.dataclass(frozen=True)
class Origin:
    """What is to be said of a dataset wherever something made of it goes.

    Attributes:
      title: in full.
      version: of the distribution.
      source: its address.
      licence: as the source has it.
      citation: what the authors want to be cited.
      faults: what is known to be wrong with it, a sentence each.
    """

    title: str
    version: str
    source: str
    licence: str
    citation: str
    faults: tuple[str, ...]


def available(register: pathlib.Path = REGISTER) -> tuple[str, ...]:
    """The datasets that can be downloaded, sorted.

    Raises:
      UserError: there is no register.
    """
    return tuple(sorted(name for name, table in _tables(register).items() if "download" in table))


def read(name: str, register: pathlib.Path = REGISTER) -> Distribution:
    """The distribution of a dataset.

    Raises:
      UserError: there is no register, or the dataset is not in it.
    """
    if name not in available(register):
        raise UserError(f"no download of {name!r} is registered: choose one of {', '.join(available(register))}")
    table = _tables(register)[name]["download"]
    listed = register.parent / table["checksums"] if "checksums" in table else None
    return Distribution(
        name=name,
        folder=table["folder"],
        base=table.get("base", ""),
        sums=table.get("sums", ""),
        include=tuple(table.get("include", ())),
        archives=tuple(_resource(archive, table["bases"]) for archive in table.get("archives", ())),
        marks=_resource(table["marks"], table["bases"]) if "marks" in table else None,
        rename=tuple((re.compile(pattern), path) for pattern, path in table.get("rename", ())),
        checksums=checksums.parse(listed.read_text(encoding="utf-8"), str(listed)) if listed else {},
        expected=table.get("expected", {}),
        max_bytes=table["max_megabytes"] * _MEGABYTE,
        max_unpacked=table.get("max_unpacked_megabytes", table["max_megabytes"]) * _MEGABYTE,
    )


def recordings(name: str, register: pathlib.Path = REGISTER) -> dict[str, int]:
    """Labelled recordings of the official distribution by sub-dataset; empty for datasets that are not registered.

    Raises:
      UserError: there is no register.
    """
    return dict(_tables(register).get(name, {}).get("recordings", {}))


def origin(name: str, register: pathlib.Path = REGISTER) -> Origin | None:
    """Where a dataset comes from; None of one that is not registered: generated, or one's own.

    Raises:
      UserError: there is no register.
    """
    if (table := _tables(register).get(name)) is None:
        return None
    fields = {field.name: table[field.name] for field in dataclasses.fields(Origin)}
    return Origin(**fields | {"faults": tuple(table["faults"])})


def _tables(register: pathlib.Path) -> dict[str, dict]:
    try:
        return tomllib.loads(register.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(
            f"the register {register} is not there: install hsjax from its repository by `pip install -e .`"
        ) from None


def _resource(table: dict, bases: list[str]) -> Resource:
    addresses = (urllib.parse.urljoin(base, urllib.parse.quote(name)) for name in table["names"] for base in bases)
    return Resource(tuple(addresses), table.get("optional", False), table.get("sha256", ""))
