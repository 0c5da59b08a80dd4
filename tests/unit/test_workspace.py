"""Locks, temporary directories and whole files, across processes that are killed."""

from __future__ import annotations

import os
import signal
import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from harness.errors import InfraError
from harness.host.guarded import HostProcess
from harness.host.process import HostRunner
from harness.host.workspace import Workspace, write_atomic

SECONDS = 60.0

#: Another harness on the same workspace: does its part, says so, and waits to be ended.
OTHER = """
import sys, time
from pathlib import Path
from harness.host.process import HostRunner
from harness.host.workspace import Workspace
here = Path.cwd()
workspace = Workspace(here / "cache", here / "state", here / "runtime")
def say(text):
    (here / "said.new").write_text(str(text))
    (here / "said.new").rename(here / "said")
{part}
"""


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Callable[[str], tuple[HostProcess, str]]]:
    """Starts another harness and gives it with what it says."""
    started: list[HostProcess] = []

    def start(part: str) -> tuple[HostProcess, str]:
        said = tmp_path / "said"
        said.unlink(missing_ok=True)
        code = OTHER.format(part=part)
        with (tmp_path / "stderr").open("wb") as stderr:
            process = HostRunner().spawn([sys.executable, "-c", code], cwd=tmp_path, stderr=stderr)
        started.append(process)
        while not said.exists():
            assert process.poll() is None, (tmp_path / "stderr").read_text()
        return process, said.read_text()

    yield start
    for process in started:
        process.kill()


def kill(process: HostProcess) -> None:
    """SIGKILL for the harness alone, as a user or the kernel would send it."""
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait(SECONDS) == -signal.SIGKILL


Other = Callable[[str], tuple[HostProcess, str]]

HOLD_LOCK = """
with workspace.lock("tree"):
    say("held")
    time.sleep(1000)
"""
HAND_LOCK_ON = """
with workspace.lock("tree") as lock:
    child = HostRunner().spawn(["sleep", "1000"], pass_fds=[lock.fd], outlives_us=True)
    say(child.pid)
    time.sleep(1000)
"""
HOLD_SCRATCH = """
with workspace.scratch("guest") as directory:
    (directory / "kernel").write_bytes(b"half")
    say(directory)
    time.sleep(1000)
"""


def test_free_lock_is_taken_without_a_word(workspace: Workspace) -> None:
    waited: list[str] = []
    for _ in range(2):
        with workspace.lock("tree", waited.append) as lock:
            assert lock.path.read_text() == f"{os.getpid()}\n"
    assert waited == []


def test_second_harness_waits_and_is_told_for_whom(workspace: Workspace, other: Other) -> None:
    process, _ = other(HOLD_LOCK)
    waited: list[str] = []

    def waiting(holder: str) -> None:
        waited.append(holder)
        process.kill()

    with workspace.lock("tree", waiting):
        assert waited == [str(process.pid)]


def test_locks_of_other_names_are_free(workspace: Workspace, other: Other) -> None:
    other(HOLD_LOCK)
    waited: list[str] = []
    with workspace.lock("other tree", waited.append):
        assert waited == []


def test_lock_of_a_killed_harness_is_free(workspace: Workspace, other: Other) -> None:
    process, _ = other(HOLD_LOCK)
    kill(process)
    waited: list[str] = []
    with workspace.lock("tree", waited.append):
        assert waited == []


def test_lock_lasts_until_the_child_that_was_given_it_has_ended(
    workspace: Workspace, other: Other
) -> None:
    process, said = other(HAND_LOCK_ON)
    kill(process)
    waited: list[str] = []

    def waiting(holder: str) -> None:
        waited.append(holder)
        psutil.Process(int(said)).kill()

    with workspace.lock("tree", waiting):
        assert waited == [str(process.pid)]


def test_scratch_directory_goes_on_every_way_out(workspace: Workspace) -> None:
    with workspace.scratch("guest") as directory:
        (directory / "kernel").write_bytes(b"")
    assert not directory.exists()
    with pytest.raises(KeyboardInterrupt), workspace.scratch("guest") as directory:
        raise KeyboardInterrupt
    assert not directory.exists()
    assert list(directory.parent.iterdir()) == []


def test_scratch_directory_of_a_killed_harness_is_swept_by_the_next(
    workspace: Workspace, other: Other
) -> None:
    process, said = other(HOLD_SCRATCH)
    kill(process)
    assert Path(said, "kernel").exists()
    with workspace.scratch("guest") as directory:
        assert [path.name for path in directory.parent.iterdir() if path.is_dir()] == [
            directory.name
        ]


def test_scratch_directory_that_somebody_still_writes_to_is_swept_later(
    workspace: Workspace, other: Other, monkeypatch: pytest.MonkeyPatch
) -> None:
    process, said = other(HOLD_SCRATCH)
    kill(process)
    with monkeypatch.context() as patched:
        patched.setattr("shutil.rmtree", lambda *_, **__: None)  # it did not become empty
        with workspace.scratch("guest"):
            pass
    assert Path(said).exists()
    with workspace.scratch("guest"):
        assert not Path(said).exists()


def test_scratch_directory_of_a_running_harness_stays(workspace: Workspace, other: Other) -> None:
    _, said = other(HOLD_SCRATCH)
    with workspace.scratch("guest"):
        assert Path(said, "kernel").read_bytes() == b"half"


def test_secret_is_nobody_elses_before_its_file_has_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    modes = []
    replace = Path.replace

    def watched(self: Path, target: Path) -> Path:
        modes.append(stat.S_IMODE(self.stat().st_mode))
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", watched)
    write_atomic(tmp_path / "secret", "word", mode=0o600)
    assert modes == [0o600]
    assert stat.S_IMODE((tmp_path / "secret").stat().st_mode) == 0o600


def test_file_is_written_whole_with_its_directories(tmp_path: Path) -> None:
    path = tmp_path / "runs" / "1" / "verdict.json"
    write_atomic(path, "{}\n")
    write_atomic(path, b'{"verdict": "booted"}\n')
    assert path.read_text() == '{"verdict": "booted"}\n'
    assert list(path.parent.iterdir()) == [path]


WRITES_TOO_MUCH = """
import sys
from pathlib import Path
from harness.errors import InfraError
from harness.host.workspace import write_atomic
path = Path(sys.argv[1], "verdict.json")
write_atomic(path, "before")
try:
    write_atomic(path, b"x" * 1_000_000)
except InfraError as error:
    print(error.message, "|", error.remedy)
print(path.read_text(), [entry.name for entry in path.parent.iterdir()])
"""


def test_full_disk_leaves_the_file_as_it_was_and_tells_what_to_do(tmp_path: Path) -> None:
    become = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    script = f'mount -t tmpfs -o size=64k none "$1" && "{sys.executable}" -c "$2" "$1"'
    finished = HostRunner().run(
        ["unshare", *become, "--mount", "sh", "-c", script, "sh", tmp_path, WRITES_TOO_MUCH],
        check=False,
    )
    if finished.stderr.startswith((b"unshare: ", b"mount: ")):
        pytest.skip(f"no file system of our own to fill: {finished.stderr.decode().strip()}")
    assert finished.stderr == b""
    assert finished.text.splitlines() == [
        f"cannot write {tmp_path}/verdict.json: No space left on device | "
        "free disk space, for example: harness gc --limit 10G",
        "before ['verdict.json']",
    ]


def test_directory_that_cannot_be_made_is_the_hosts_fault(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InfraError, match=r"cannot write .*file/record: Not a directory"):
        write_atomic(tmp_path / "file" / "record" / "verdict.json", "")


def test_users_directories_are_those_of_xdg(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("CACHE_HOME", "STATE_HOME", "RUNTIME_DIR"):
        monkeypatch.setenv(f"XDG_{name}", str(tmp_path / name))
    workspace = Workspace.of_user()
    assert workspace.cache == tmp_path / "CACHE_HOME" / "harness"
    assert workspace.runs == tmp_path / "STATE_HOME" / "harness" / "runs"
    assert workspace.runtime == tmp_path / "RUNTIME_DIR" / "harness"


def test_sockets_have_a_short_path_where_nobody_says_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    assert Workspace.of_user().runtime.name == f"harness-{os.getuid()}"
