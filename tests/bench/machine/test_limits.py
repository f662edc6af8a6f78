from pathlib import Path
from typing import Any

import pytest

from bench.machine.limits import cpu_quota, free_memory, held_back_ns
from bench.machine.noise_sources import noise_sources
from bench.records.same import COMPARE, differences

MIB = 1 << 20


def groups(top: Path, own: str, files: dict[str, str]) -> tuple[Path, Path]:
    """A mount of control groups with these files, and the file of a process in the groups `own`."""
    mount = top / "cgroup"
    mount.mkdir()
    for name, content in files.items():
        (mount / name).parent.mkdir(parents=True, exist_ok=True)
        (mount / name).write_text(content + "\n")
    (top / "own").write_text(own)
    return mount, top / "own"


V2 = "0::/user.slice/run-1.scope\n"
V1 = "9:name=systemd:/\n3:cpu,cpuacct:/docker/ab\n2:memory:/docker/ab\n0::/\n"
HOST_V1 = {f"cpu,cpuacct/docker/ab/cpu.cfs_{name}_us": value for name, value in (("quota", "-1"), ("period", "100000"))}


@pytest.mark.parametrize(
    ("own", "files", "quota"),
    [
        (V2, {"user.slice/run-1.scope/cpu.max": "50000 100000"}, 0.5),
        (V2, {"user.slice/cpu.max": "150000 100000", "user.slice/run-1.scope/cpu.max": "max 100000"}, 1.5),
        (V2, {"user.slice/cpu.max": "25000 100000", "user.slice/run-1.scope/cpu.max": "50000 100000"}, 0.25),
        (V2, {"cpu.max": "200000 100000"}, 2.0),  # a container's own group, which it sees as the mount
        (V2, {"run-1.scope/cpu.max": "70000 100000"}, 0.7),  # or a group within that
        ("0::/../..\n", {"cpu.max": "70000 100000"}, 0.7),
        (V2, {"user.slice/run-1.scope/cgroup.procs": ""}, None),
        (V2, {"other.slice/cpu.max": "50000 100000"}, None),
        (V1, HOST_V1, None),
        (V1, HOST_V1 | {"cpu,cpuacct/cpu.cfs_quota_us": "300000", "cpu,cpuacct/cpu.cfs_period_us": "100000"}, 3.0),
        (V1, {"cpu/cpu.cfs_quota_us": "40000", "cpu/cpu.cfs_period_us": "80000"}, 0.5),  # a container's
        ("1:cpu:/a:b\n", {"cpu/a:b/cpu.cfs_quota_us": "10000", "cpu/a:b/cpu.cfs_period_us": "100000"}, 0.1),
    ],
)
def test_the_least_quota_of_all_groups_around_a_process(
    own: str, files: dict[str, str], quota: float | None, tmp_path: Path
) -> None:
    assert cpu_quota(*groups(tmp_path, own, files)) == quota


@pytest.mark.parametrize(
    ("own", "files", "held_ns"),
    [
        (
            V2,
            {
                "user.slice/cpu.max": "50000 100000",
                "user.slice/run-1.scope/cgroup.procs": "",
                "user.slice/cpu.stat": "nr_throttled 7\nthrottled_usec 250",
            },
            250_000,
        ),
        (
            V2,
            {
                "user.slice/cpu.max": "max 100000",
                "user.slice/run-1.scope/cgroup.procs": "",
                "user.slice/cpu.stat": "throttled_usec 250",
            },
            0,
        ),
        (V1, HOST_V1 | {f"cpu,cpuacct/{name}": "300000" for name in ("cpu.cfs_quota_us", "cpu.cfs_period_us")}, 0),
        (
            "1:cpu:/a\n",
            {"cpu/a/cpu.cfs_quota_us": "5", "cpu/a/cpu.cfs_period_us": "9", "cpu/a/cpu.stat": "throttled_time 77"},
            77,
        ),
        ("", {}, 0),
    ],
)
def test_what_quotas_held_back_is_read_of_the_groups_that_have_one(
    own: str, files: dict[str, str], held_ns: int, tmp_path: Path
) -> None:
    assert held_back_ns(*groups(tmp_path, own, files)) == held_ns


def test_without_control_groups_the_reason_is_told(tmp_path: Path) -> None:
    mount, own = groups(tmp_path, "", {})
    with pytest.raises(FileNotFoundError, match="no control groups are mounted"):
        cpu_quota(mount, own)
    with pytest.raises(OSError):
        cpu_quota(mount, tmp_path / "none")
    assert free_memory(mount, own) > MIB


@pytest.mark.parametrize(
    ("own", "files"),
    [
        (V2, {
            "memory.max": str(9 * MIB),
            "memory.current": str(7 * MIB),
            "memory.stat": f"anon 1\ninactive_file {MIB}",
        }),
        (V1, {
            "memory/docker/ab/memory.limit_in_bytes": str(9 * MIB),
            "memory/docker/ab/memory.usage_in_bytes": str(7 * MIB),
            "memory/docker/ab/memory.stat": f"inactive_file 5\ntotal_inactive_file {MIB}",
        }),
    ],
)  # fmt: skip
def test_the_memory_that_the_control_groups_leave(own: str, files: dict[str, str], tmp_path: Path) -> None:
    assert free_memory(*groups(tmp_path, own, files)) == 3 * MIB


def test_a_quota_is_advised_on_and_is_not_the_same_machine(record: Any, here: dict[str, Any]) -> None:
    def limited(quota: Any) -> Any:
        environment = here | {"cpu": here["cpu"] | {"quota": quota, "cores": 4}}
        return record("resnet18/eager/fp32/b1/i64/stream", environment=environment)

    free, half, unknown = limited(None), limited(0.5), limited("unreadable: OSError: no")
    assert differences([free], half, COMPARE) == ["quota of processor time (no limit, now 0.5)"]
    assert not differences([unknown], half, COMPARE) + differences([free], unknown, COMPARE)
    assert any("may use 0.5 of 4 cores" in source.noise for source in noise_sources(half.environment))
