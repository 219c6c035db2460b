import jax
import pytest

from hsjax.train import check_fits, device_memory
from hsjax.types import UserError

GB = 10**9


class Accelerator:
    platform, device_kind = "gpu", "made-up GPU"

    def __init__(self, stats):
        self.stats = stats

    def memory_stats(self):
        return self.stats


def test_on_a_cpu_features_are_there_three_times():
    check_fits(2 * GB, on_host=8 * GB)
    with pytest.raises(UserError, match=r"take 9\.0 GB in memory, where 8\.0 GB are free: .*placement=stream"):
        check_fits(3 * GB, on_host=8 * GB)


def test_an_accelerator_has_one_copy_and_the_host_two(monkeypatch):
    device = Accelerator({"bytes_limit": 10 * GB, "bytes_in_use": 2 * GB})
    monkeypatch.setattr(jax, "local_devices", lambda: [device])
    assert device_memory.device_free(device.stats) == 8 * GB
    check_fits(6 * GB, on_host=100 * GB)
    with pytest.raises(UserError, match=r"take 7\.0 GB on made-up GPU, where 8\.0 GB are free"):
        check_fits(7 * GB, on_host=100 * GB)
    with pytest.raises(UserError, match=r"take 12\.0 GB in memory"):
        check_fits(6 * GB, on_host=14 * GB)
    device.stats = None  # a driver that does not say
    check_fits(7 * GB, on_host=100 * GB)


def machine(root, cgroup: str) -> None:
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/meminfo").write_text("MemTotal: 100 kB\nMemAvailable:   64000000 kB\n")
    (root / "proc/self/cgroup").write_text(cgroup)


def group(folder, limit, usage, cached, version=2):
    folder.mkdir(parents=True, exist_ok=True)
    names = ("memory.max", "memory.current") if version == 2 else ("memory.limit_in_bytes", "memory.usage_in_bytes")
    for name, value in zip(names, (limit, usage), strict=True):
        (folder / name).write_text(f"{value}\n")
    prefix = "" if version == 2 else "total_"
    (folder / "memory.stat").write_text(f"anon 5\n{prefix}inactive_file {cached}\n")


def test_free_memory_of_a_machine(tmp_path):
    machine(tmp_path, "0::/\n")
    assert device_memory.host_free(tmp_path) == 64_000_000 * 1024


def test_free_memory_of_a_job_is_its_group_s(tmp_path):
    machine(tmp_path, "0::/slurm/job/step\n")
    group(tmp_path / "sys/fs/cgroup/slurm/job/step", "max", 1, 1)
    group(tmp_path / "sys/fs/cgroup/slurm/job", 8 * GB, 3 * GB, 1 * GB)
    assert device_memory.host_free(tmp_path) == 6 * GB


def test_free_memory_of_a_group_of_version_1(tmp_path):
    machine(tmp_path, "9:cpu,memory:/docker/x\n4:pids:/\n")
    group(tmp_path / "sys/fs/cgroup/memory/docker/x", 4 * GB, 1 * GB, 0, version=1)
    assert device_memory.host_free(tmp_path) == 3 * GB


def test_free_memory_here_is_some(tmp_path):
    assert 10**7 < device_memory.host_free() < 10**14
    assert 10**7 < device_memory.host_free(tmp_path) < 10**14  # where there is no /proc: all that is built in
