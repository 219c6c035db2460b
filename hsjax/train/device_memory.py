"""Whether the features of a set fit where training on the device keeps them."""

import os
import pathlib
from collections.abc import Iterator, Mapping

import jax

from hsjax.types import UserError

# Of what is free: the rest is for the network, its gradients and what they are computed from.
_SHARE = 0.8
# Features as computed, and normalised; on a CPU those on "the device" are a third copy.
_HOST_COPIES = 2


def check_fits(num_bytes: int, *, on_device: int | None = None, on_host: int | None = None) -> None:
    """Refuses a set whose features do not fit.

    Args:
      num_bytes: of the features of all examples, float32.
      on_device: free bytes of an accelerator; by default as its driver says.
      on_host: free bytes of this machine; by default as the system says.

    Raises:
      UserError: it has to be streamed.
    """
    device = jax.local_devices()[0]
    if on_device is None:
        on_device = device_free(device.memory_stats())
    host = num_bytes * (_HOST_COPIES + (device.platform == "cpu"))
    needs = [(host, host_free() if on_host is None else on_host, "in memory")]
    if device.platform != "cpu":
        needs.append((num_bytes, on_device, f"on {device.device_kind}"))
    for needed, free, where in needs:
        if free is not None and needed > _SHARE * free:
            raise UserError(
                f"the features of all examples take {_gigabytes(needed)} {where}, where {_gigabytes(free)} are free: "
                "set config.data.placement=stream"
            )


def device_free(stats: Mapping[str, int] | None) -> int | None:
    """Bytes that may still be allocated, of `jax.Device.memory_stats()`; None where the driver does not say."""
    if not stats or "bytes_limit" not in stats:
        return None
    return stats["bytes_limit"] - stats.get("bytes_in_use", 0)


def host_free(root: pathlib.Path = pathlib.Path("/")) -> int | None:
    """Bytes that this process may still allocate: of the machine, or of the container or job that it runs in.

    Args:
      root: below which `proc` and `sys` are mounted.
    """
    free = [*_machine(root), *_groups(root)]
    return max(min(free), 0) if free else None


def _machine(root: pathlib.Path) -> Iterator[int]:
    try:
        lines = (root / "proc/meminfo").read_text().splitlines()
        yield next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):  # not Linux: at most all of it
        if "SC_PHYS_PAGES" in os.sysconf_names:
            yield os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _groups(root: pathlib.Path) -> Iterator[int]:
    """What control groups, of both versions, leave to this process; each one is within all those above it."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            base, limit, usage, cache = "sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"
        elif "memory" in controllers.split(","):
            base, limit = "sys/fs/cgroup/memory", "memory.limit_in_bytes"
            usage, cache = "memory.usage_in_bytes", "total_inactive_file"
        else:
            continue
        group = pathlib.PurePosixPath(path.lstrip("/"))
        for each in (group, *group.parents):
            folder = root / base / each
            try:
                most, used = int((folder / limit).read_text()), int((folder / usage).read_text())
                stat = dict(entry.split() for entry in (folder / "memory.stat").read_text().splitlines())
            except (OSError, ValueError):  # there is none, or no limit ("max")
                continue
            yield most - used + int(stat.get(cache, 0))  # files in memory give way


def _gigabytes(num_bytes: int) -> str:
    return f"{num_bytes / 1e9:.1f} GB"
