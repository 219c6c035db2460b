"""Which weight files are known, where they are from, and whether one is what it says: third_party/weights.toml.

The register stands at the top of the repository, beside the package and not inside it, where whoever checks what comes
from outside finds it. It is found from there because `pip install -e .` is how hsjax is installed.
"""

import dataclasses
import hashlib
import pathlib
import tomllib
from collections.abc import Mapping

import numpy as np

import hsjax
from hsjax.models.pretrained.carry import Library
from hsjax.types import UserError

REGISTER = pathlib.Path(hsjax.__file__).resolve().parents[1] / "third_party" / "weights.toml"

# Keys of a converted file's metadata: the file it was made from, that one's SHA-256, and that of its tensors.
ORIGIN, ORIGIN_SHA256, TENSORS_SHA256 = "origin", "origin_sha256", "tensors_sha256"


@dataclasses.dataclass(frozen=True)
class Registered:
    """One file of weights, as its library distributes it.

    Attributes:
      network: name in `hsjax.models.MODELS`.
      library: whose tensors they are.
      name: of the file.
      address: where it is.
      licence: of the weights.
      classes: width of its head, 0 for a file without.
      sha256: the first digits, as many as are published; may be empty.
      md5: may be empty.
    """

    network: str
    library: Library
    name: str
    address: str
    licence: str
    classes: int
    sha256: str = ""
    md5: str = ""


@dataclasses.dataclass(frozen=True)
class Origin:
    """Where loaded weights are from, to be recorded with what is trained from them.

    Attributes:
      name: of the file, as its library distributes it; an unregistered file's own.
      sha256: of that file.
      registered: its entry; None where the register cannot vouch for it.
    """

    name: str
    sha256: str
    registered: Registered | None


def read(register: pathlib.Path = REGISTER) -> tuple[Registered, ...]:
    """All files in the register.

    Raises:
      UserError: there is no register.
    """
    try:
        networks = tomllib.loads(register.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(
            f"the register {register} is not there: install hsjax from its repository by `pip install -e .`"
        ) from None
    return tuple(
        Registered(
            network, Library(library), file["name"], table["base"] + file["name"], table["licence"], file["classes"],
            file.get("sha256", ""), file.get("md5", ""),
        )
        for network, libraries in networks.items()
        for library, table in libraries.items()
        for file in table["files"]
    )  # fmt: skip


def how_to_get(network: str, register: pathlib.Path = REGISTER) -> str:
    """What to fetch from where for a network, and what to do with it, as part of a sentence."""
    known = [entry for entry in read(register) if entry.network == network]
    if not known:
        return f"no weights of {network} are registered"
    addresses = " or ".join(entry.address for entry in known if entry.classes)
    convert = ", and convert a .pth by `python -m hsjax.models convert FILE.pth` where torch is installed"
    return f"fetch {addresses}{convert if any(entry.name.endswith('.pth') for entry in known) else ''}"


def identify(
    path: pathlib.Path, metadata: Mapping[str, str], network: str, register: pathlib.Path = REGISTER
) -> Origin:
    """Holds a file against the register.

    A converted file carries the name and SHA-256 of its origin in its metadata; they are what is held against it.

    Args:
      path: the file.
      metadata: what it says about itself.
      network: for which its weights should be.
      register: of known files.

    Raises:
      UserError: its name is registered and its checksum another, or it belongs to another network.
    """
    name, sha256, md5 = path.name, *_digests(path)
    if ORIGIN in metadata and ORIGIN_SHA256 in metadata:
        name, sha256, md5 = metadata[ORIGIN], metadata[ORIGIN_SHA256].lower(), ""
    entries = read(register)
    same_name = next((entry for entry in entries if entry.name == name), None)
    same_content = next((entry for entry in entries if md5 and entry.md5 == md5), None)
    found = same_name or same_content
    if found is None:
        return Origin(name, sha256, None)
    if found.network != network:
        raise UserError(f"{path} holds weights of {found.network}, not of {network}: {how_to_get(network, register)}")
    if found.sha256:
        right = len(sha256) == 64 and sha256.startswith(found.sha256)
    elif found.md5:
        right = md5 == found.md5
    else:
        return Origin(name, sha256, None)
    if not right:
        raise UserError(
            f"{path} is not the {found.name} that is registered, its checksum is another (SHA-256 {sha256}): "
            f"fetch it again from {found.address}"
        )
    return Origin(name, sha256, found)


def sha256_of_tensors(tensors: Mapping[str, np.ndarray]) -> str:
    """SHA-256 of names, types, shapes and values, in hexadecimal; the order of the tensors does not matter."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = np.ascontiguousarray(tensors[name])
        digest.update(f"{name}\n{tensor.dtype.str}\n{tensor.shape}\n".encode())
        digest.update(tensor.tobytes())
    return digest.hexdigest()


def _digests(path: pathlib.Path) -> tuple[str, str]:
    """SHA-256 and MD5 (of which Keras's register consists; against accidents, not against forgery)."""
    sha256, md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
    with path.open("rb") as stream:
        while chunk := stream.read(1 << 20):
            sha256.update(chunk)
            md5.update(chunk)
    return sha256.hexdigest(), md5.hexdigest()
