"""What the host says of a process: stopped, frozen, throttled, waiting."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.host.clock import HostClock
from harness.host.procstat import ProcessSampler, Sample

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="no proc(5) here")

SPINS = "while True: pass"
SLEEPS = "import time\nwhile True: time.sleep(60)"


@pytest.fixture
def process() -> Iterator[Callable[[str], subprocess.Popen[bytes]]]:
    started = []

    def start(program: str) -> subprocess.Popen[bytes]:
        started.append(subprocess.Popen([sys.executable, "-c", program]))
        return started[-1]

    yield start
    for one in started:
        one.kill()
        one.wait()


def until(
    sampler: ProcessSampler, condition: Callable[[Sample], bool], seconds: float = 60
) -> Sample:
    deadline = time.monotonic() + seconds
    while True:
        sample = sampler.sample()
        assert sample is not None
        if condition(sample):
            return sample
        assert time.monotonic() < deadline, sample
        time.sleep(0.02)


def test_a_process_that_spins_gathers_time(
    process: Callable[[str], subprocess.Popen[bytes]],
) -> None:
    spinning = process(SPINS)
    sampler = ProcessSampler(spinning.pid, HostClock())
    sample = until(sampler, lambda one: one.threads[spinning.pid].ran > 0.2)
    assert sample.threads[spinning.pid].state == "R"
    assert not sample.stopped


def test_a_process_that_was_stopped_is_seen_to_be_until_it_is_continued(
    process: Callable[[str], subprocess.Popen[bytes]],
) -> None:
    sleeping = process(SLEEPS)
    sampler = ProcessSampler(sleeping.pid, HostClock())
    sleeping.send_signal(signal.SIGSTOP)
    until(sampler, lambda one: one.stopped)
    sleeping.send_signal(signal.SIGCONT)
    until(sampler, lambda one: not one.stopped)


def test_a_process_that_has_ended_shows_nothing(
    process: Callable[[str], subprocess.Popen[bytes]],
) -> None:
    ended = process("pass")
    ended.wait()
    assert ProcessSampler(ended.pid, HostClock()).sample() is None


def fake_process(root: Path, cgroup: str, state: str = "S") -> None:
    thread = root / "7" / "task" / "7"
    thread.mkdir(parents=True)
    for directory in (root / "7", thread):
        (directory / "stat").write_text(f"7 (a) b (c)) {state} 1 2 3")
    (thread / "schedstat").write_text("1500000000 250000000 9\n")
    (root / "7" / "cgroup").write_text(cgroup)


@pytest.mark.parametrize(
    ("cgroup", "files", "throttled", "frozen"),
    [
        ("0::/a/b\n", {"a/b/cpu.stat": "usage_usec 1\nthrottled_usec 2500000\n"}, 2.5, False),
        ("0::/a/b\n", {"a/cpu.stat": "throttled_usec 1000000\n"}, 1.0, False),
        ("0::/a\n", {"a/cgroup.events": "populated 1\nfrozen 1\n"}, 0.0, True),
        ("0::/a/b\n", {"a/cgroup.events": "populated 1\nfrozen 0\n"}, 0.0, False),
        ("3:cpu,cpuacct:/a\n", {"cpu,cpuacct/a/cpu.stat": "throttled_time 2500000000\n"}, 2.5,
         False),
        ("3:cpu,cpuacct:/a\n", {"cpu/a/cpu.stat": "throttled_time 1000000000\n"}, 1.0, False),
        ("6:freezer:/a\n0::/\n", {"freezer/a/freezer.state": "FROZEN\n"}, 0.0, True),
        ("6:freezer:/a\n", {"freezer/a/freezer.state": "THAWED\n"}, 0.0, False),
        ("0::/../../x\n", {"cpu.stat": "throttled_usec nonsense\n"}, 0.0, False),
        ("", {}, 0.0, False),
    ],
)  # fmt: skip
def test_cgroups_of_both_versions_tell_of_quota_and_freezer(
    tmp_path: Path, cgroup: str, files: dict[str, str], throttled: float, frozen: bool
) -> None:
    fake_process(tmp_path / "proc", cgroup)
    (tmp_path / "groups").mkdir()
    for name, text in files.items():
        path = tmp_path / "groups" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    sampler = ProcessSampler(7, HostClock(), tmp_path / "proc", tmp_path / "groups")
    sample = sampler.sample()
    assert sample is not None
    assert (sample.throttled, sample.frozen) == (throttled, frozen)
    assert sample.threads[7].ran == 1.5
    assert sample.threads[7].waited == 0.25


def test_a_kernel_that_counts_no_waiting_shows_no_threads(tmp_path: Path) -> None:
    fake_process(tmp_path, "")
    (tmp_path / "7" / "task" / "7" / "schedstat").write_text("0 0 0\n")
    sample = ProcessSampler(7, HostClock(), tmp_path, tmp_path).sample()
    assert sample is not None
    assert sample.threads == {}


@pytest.mark.parametrize("state", ["T", "t"])
def test_signals_and_debuggers_stop_processes(tmp_path: Path, state: str) -> None:
    fake_process(tmp_path, "", state)
    sample = ProcessSampler(7, HostClock(), tmp_path, tmp_path).sample()
    assert sample is not None
    assert sample.stopped
