"""What a real tree refuses or does not survive: words, exit codes, and nothing left running."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import platformdirs
import pytest
from command import Home, Running, Said

from harness.arch import GUEST
from harness.host.resources import data_file

pytestmark = [pytest.mark.freebsd, pytest.mark.timeout(2400)]

SIGNALS = (signal.SIGINT, signal.SIGKILL)


@pytest.fixture
def home(freebsd_tree: Path) -> Iterator[Home]:
    """A home with the user's own cache, in which toolchain and objects are."""
    given = {
        "XDG_CACHE_HOME": str(platformdirs.user_cache_path()),
        "HARNESS_SOURCE": str(freebsd_tree),
    }
    with tempfile.TemporaryDirectory(prefix="flow") as directory:
        yield Home(Path(directory), given)


@pytest.fixture
def kernconf(home: Home) -> Iterator[Path]:
    """The slim configuration under a name that no other run has used.

    The name stands in the kernel, so the cache has none of it; what it leaves there is removed.
    """
    path = home.directory / f"FLOWTEST-{uuid.uuid4().hex[:8]}"
    shutil.copyfile(data_file("images", "kernconf", GUEST.name, "slim"), path)
    yield path
    forget(home, path.name)


def forget(home: Home, kernconf: str) -> None:
    """Take all that came of a configuration out of the user's cache."""
    name = f"HARNESS-{kernconf}"
    of_trees = (f"obj-*/kernconf/{name}", f"obj-*/{name}.*", f"logs/{name}.log")
    for file in (file for kind in of_trees for file in home.cache.glob(f"trees/*/{kind}")):
        file.unlink()
    for directory in home.cache.glob(f"trees/*/obj-*/**/amd64.amd64/sys/{name}"):
        shutil.rmtree(directory)
    for identity in home.cache.glob("kernels/*/identity.json"):
        if json.loads(identity.read_text())["kernconf"] == name:
            shutil.rmtree(identity.parent)


def refused(said: Said, code: int, message: str) -> None:
    assert "Traceback" not in said.stderr
    assert said.error.startswith(f"harness: {message}"), said.stderr
    assert said.code == code


def log_of(said: Said) -> Path:
    """The log that the error names."""
    found = re.search(r"read the log: (\S+)", said.error)
    assert found, said.error
    return Path(found[1])


def test_unknown_option_is_told_by_name(home: Home, kernconf: Path) -> None:
    with kernconf.open("a") as text:
        text.write("options\t\tNO_SUCH_OPTION\n")
    said = home.run("build", "--kernconf", kernconf)
    refused(said, 2, "the kernel configuration has the option NO_SUCH_OPTION, which the tree")
    assert 'unknown option "NO_SUCH_OPTION"' in said.error
    assert 'unknown option "NO_SUCH_OPTION"' in log_of(said).read_text()


def test_unknown_configuration_is_told_in_the_words_of_config(home: Home) -> None:
    said = home.run("build", "--kernconf", "NO_SUCH_CONF")
    forget(home, "NO_SUCH_CONF")
    refused(said, 2, "config(8) refused the kernel configuration: ")
    assert "NO_SUCH_CONF" in said.error


def test_configuration_that_is_no_configuration(home: Home, kernconf: Path) -> None:
    kernconf.write_text("this is not a configuration\n")
    said = home.run("build", "--kernconf", kernconf)
    refused(said, 2, "config(8) refused the kernel configuration: ")


def test_revision_that_does_not_build_shows_the_compilers_lines(
    home: Home, freebsd_tree: Path
) -> None:
    patch = home.directory / "broken.patch"
    patch.write_text(appended(freebsd_tree / "sys/vm/uma_core.c", "int broken = nothing;\n"))
    said = home.run("build", "--patch", patch, "--kasan")
    refused(said, 4, "the revision does not build")
    assert re.search(r"\| .*uma_core\.c:\d+:\d+: error: .*'nothing'", said.error)
    assert "undeclared identifier 'nothing'" in log_of(said).read_text()


def appended(file: Path, line: str) -> str:
    """A patch that adds a line at a file's end."""
    lines = file.read_text("utf-8", "replace").splitlines(keepends=True)
    name = f"sys/vm/{file.name}"
    context = "".join(f" {text}" for text in lines[-3:])
    first = len(lines) - 2
    return f"--- a/{name}\n+++ b/{name}\n@@ -{first},3 +{first},4 @@\n{context}+{line}"


def compiles(home: Home, running: Running) -> None:
    """Wait until compilers run."""
    while "clang" not in home.names():
        assert running.popen.poll() is None, running.said.read_text()


@pytest.mark.parametrize("signum", SIGNALS)
def test_interrupted_build_leaves_nothing_running_and_lets_the_next_go_on(
    home: Home, kernconf: Path, signum: signal.Signals
) -> None:
    words = ("build", "-v", "--kernconf", str(kernconf))
    with home.started(*words) as first:
        first.wait_for_words("kernel at")
        compiles(home, first)
        with home.started(*words) as second:
            second.wait_for_words("which is building from the same tree\n")
            assert f"waiting for process {first.popen.pid}, " in second.said.read_text()
            assert first.end_by(signum) == (-signum if signum == signal.SIGKILL else 130)
            second.wait_for_words("kernel at")
            compiles(home, second)
            assert second.end_by(signal.SIGTERM) == 143
    home.wait_until_nothing_runs()


@pytest.mark.long
def test_kernel_that_was_interrupted_time_and_again_is_whole(home: Home, kernconf: Path) -> None:
    words = ("build", "-v", "--kernconf", str(kernconf))
    for signum in (signal.SIGKILL, signal.SIGINT, signal.SIGKILL, signal.SIGTERM, signal.SIGKILL):
        with home.started(*words) as running:
            running.wait_for_words("kernel at")
            for _ in range(4):
                compiles(home, running)
                running.wait_for_words("kernel at")
            running.end_by(signum)
        home.wait_until_nothing_runs()
    said = home.run("boot", "--kernconf", str(kernconf), "--numa", "2")
    assert said.code == 0, said


STAGES = ("firmware", "loader", "kernel", "init")


@pytest.mark.parametrize(
    ("stage", "signum"),
    [
        pytest.param(stage, signum, marks=[pytest.mark.long] * (
            (stage, signum) not in (("loader", signal.SIGINT), ("kernel", signal.SIGKILL))
        ))
        for stage in STAGES
        for signum in SIGNALS
    ],
)  # fmt: skip
def test_interrupted_boot_leaves_nothing_running(
    home: Home, stage: str, signum: signal.Signals
) -> None:
    with home.started("boot", "-v", "--kasan", "--numa", "2", "--boot", "loader") as running:
        running.wait_for_words(f"kasan-numa2: {stage} at")
        running.end_by(signum)
    home.wait_until_nothing_runs()
    scratch = [path for path in home.scratch_directories() if path.is_dir()]
    if signum == signal.SIGINT:
        assert not [path for path in scratch if is_abandoned(path)]


def is_abandoned(scratch: Path) -> bool:
    """Whether nobody uses it: others may be at work in the same cache."""
    finished = subprocess.run(
        ["flock", "--nonblock", f"{scratch}.lock", "true"], capture_output=True, check=False
    )
    return finished.returncode == 0 and scratch.exists()


@pytest.mark.long
@pytest.mark.parametrize("stage", ["source", "make", "toolchain", "kernel", "loader"])
def test_new_cache_that_is_interrupted_at_each_stage(
    freebsd_tree: Path, tmp_path_factory: pytest.TempPathFactory, stage: str
) -> None:
    """From nothing: everything is built, so this takes long; SIGKILL, then the same again."""
    directory = tmp_path_factory.mktemp("new")
    home = Home(directory, {"HARNESS_SOURCE": str(freebsd_tree)})
    with home.started("build", "-v") as running:
        running.wait_for_words(f"build: {stage} at")
        running.end_by(signal.SIGKILL)
    home.wait_until_nothing_runs()
    said = home.run("build")
    assert said.code == 0, said.stderr
    shutil.rmtree(directory)
