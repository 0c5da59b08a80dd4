"""What a source tree brings to its own build runs in a sandbox, or not at all.

The attacks are in the tree's make: its ``configure`` runs as part of every first build.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from command import Home, script, temporary_home
from small_tree import CONFIGURE, FILES, UMA, git_tree

AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="root is held by other means than a user")

#: Stands where the tree's make does. It is given the same words, and does what it likes.
MAKES_MAKE = """\
cat >make-bootstrap.sh <<'END'
cat >bmake <<'MAKE'
#!/bin/sh
{make}
MAKE
chmod 755 bmake
END
"""


@pytest.fixture
def home() -> Iterator[Home]:
    with temporary_home() as home:
        yield home


def tree_of(home: Home, configure: str, name: str = "tree") -> Path:
    return git_tree(home.directory / name, configure=configure)


def report(home: Home) -> str:
    """What the attack wrote where it may write."""
    (found,) = home.cache.glob("trees/*/bmake-*/build/report")
    return found.read_text()


@contextlib.contextmanager
def listening(
    family: socket.AddressFamily, address: tuple[str, int] | str
) -> Iterator[tuple[object, list[str]]]:
    """A server that remembers who came."""
    came: list[str] = []

    def accept(server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = server.accept()
                came.append("somebody")
                client.close()

    with socket.socket(family) as server:
        server.bind(address)
        server.listen()
        thread = threading.Thread(target=accept, args=(server,), daemon=True)
        thread.start()
        yield server.getsockname(), came
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


CONNECT = """\
python3 - >report 2>&1 <<'END'
import socket
for family, address in ((socket.AF_INET, {inet!r}), (socket.AF_UNIX, {path!r}),
                        (socket.AF_UNIX, {abstract!r})):
    try:
        socket.socket(family).connect(address)
        print("connected to", address)
    except OSError as error:
        print(error)
END
exit 1
"""


def test_a_build_reaches_no_network_and_no_socket(home: Home) -> None:
    inside = str(home.directory / "run/service")
    with (
        listening(socket.AF_INET, ("127.0.0.1", 0)) as (inet, inet_came),
        listening(socket.AF_UNIX, inside) as (path, path_came),
        listening(socket.AF_UNIX, f"\0harness-{home.directory.name}") as (abstract, abstract_came),
    ):
        tree = tree_of(home, CONNECT.format(inet=inet, path=path, abstract=abstract))
        assert home.run("build", "--source", tree).code == 4
        lines = report(home).splitlines()
        assert len(lines) == 3
        assert not any("connected" in line for line in lines), lines
        assert home.run("build", "--source", tree, "--no-sandbox").code == 4
        assert all("connected" in line for line in report(home).splitlines())
    assert [len(came) for came in (inet_came, path_came, abstract_came)] == [1, 1, 1]


def test_a_build_reads_nothing_of_the_users(home: Home) -> None:
    secret = home.directory / "secret"
    secret.write_text("the user's key")
    reads = f"env; cat ~/* ~/.[a-z]* {secret}; ls -a ~ /home /root /run /var; cat /etc/shadow"
    tree = tree_of(home, f"{{ {reads}; }} >report 2>&1; exit 1")
    assert home.run("build", "--source", tree, AWS_SECRET="the user's key").code == 4
    said = report(home)
    assert "the user's key" not in said
    assert "root:" not in said
    assert "cannot access" in said


def test_a_build_writes_only_what_it_builds(home: Home) -> None:
    tree = git_tree(home.directory / "tree")
    victims = [home.directory / "planted", tree / "planted", home.cache / "planted",
               home.cache / "kernels/planted", Path("/usr/planted"), Path("/etc/planted"),
               Path("/var/tmp/planted")]  # fmt: skip
    lines = [f"mkdir -p {path.parent}; echo x >{path}" for path in victims]
    checkout = f'cd "$(dirname "$0")/../.." && echo x >{UMA} && echo x >>{CONFIGURE}'
    (tree / CONFIGURE).write_text("\n".join((*lines, checkout, "exit 1")))
    assert home.run("build", "--source", tree).code == 4
    assert [path for path in victims if path.exists()] == []
    (found,) = home.cache.glob(f"trees/*/src/{UMA}")
    assert found.read_text() == FILES[UMA]
    assert home.leftovers() == []


def test_a_build_sees_no_process_but_its_own(home: Home) -> None:
    tree = tree_of(home, "for p in /proc/[0-9]*; do tr '\\0' ' ' <$p/cmdline; echo; done >report\n"
                         f"kill -KILL {os.getpid()} 2>>report; exit 1")  # fmt: skip
    assert home.run("build", "--source", tree).code == 4
    said = report(home)
    assert "configure" in said
    assert "pytest" not in said
    assert "harness.cli" not in said


TRIES_TO_RULE = """\
grep CapEff /proc/self/status >report
for file in /proc/sys/kernel/core_pattern /proc/sys/kernel/hostname; do
    (: >>$file) 2>/dev/null && echo writable $file >>report
done
mount -t tmpfs none /tmp 2>/dev/null && echo mounted >>report
exit 1
"""


@AS_ROOT
def test_a_build_of_roots_has_no_capability_and_changes_no_kernel_setting(home: Home) -> None:
    tree = tree_of(home, TRIES_TO_RULE)
    assert home.run("build", "--source", tree).code == 4
    assert report(home) == "CapEff:\t0000000000000000\n"


def test_what_a_build_has_started_ends_with_it(home: Home) -> None:
    tree = tree_of(home, "setsid sleep 1000 & setsid sh -c 'trap \"\" TERM; sleep 1000' & exit 1")
    assert home.run("build", "--source", tree).code == 4
    home.wait_until_nothing_runs()


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_build_ends_with_the_harness(home: Home, signum: signal.Signals) -> None:
    tree = tree_of(home, "touch started; setsid sleep 1000 & sleep 1000")
    with home.started("build", "--source", tree) as harness:
        while not list(home.cache.glob("trees/*/bmake-*/build/started")):
            assert harness.popen.poll() is None, harness.said.read_text()
        harness.end_by(signum)
    home.wait_until_nothing_runs()
    assert home.held_locks() == []


def test_links_that_a_build_plants_are_not_followed(home: Home) -> None:
    """The harness removes, reads and writes files where a build put the directory it knows."""
    victim = home.directory / "victim"
    victim.mkdir()
    for name in ("kernel", "kernel.full", "kernel.debug"):
        (victim / name).write_text("the user's")
    make = (
        f'objects="$MAKEOBJDIRPREFIX$PWD/amd64.amd64"; mkdir -p "$objects/sys"\n'
        f'[ -e "$objects/sys/HARNESS" ] || ln -s {victim} "$objects/sys/HARNESS"\nexit 0'
    )
    tree = tree_of(home, MAKES_MAKE.format(make=make))
    for _ in range(2):
        said = home.run("build", "--source", tree)
        assert said.code == 4, said.stderr
        assert "symbolic link" in said.stderr
    assert {path.read_text() for path in victim.iterdir()} == {"the user's"}
    assert len(list(victim.iterdir())) == 3
    assert list((home.cache / "kernels").glob("*")) == []


def test_trees_share_no_compiler_cache(home: Home) -> None:
    """Whoever fills a cache chooses the objects of who reads it."""
    make = 'echo "$CCACHE_DIR" >"$MAKEOBJDIRPREFIX$PWD/where"; exit 1'
    where = []
    for name in ("one", "two"):
        home.run("build", "--source", tree_of(home, MAKES_MAKE.format(make=make), name))
    where = [path.read_text().strip() for path in home.cache.glob("trees/*/obj-*/**/where")]
    assert len(set(where)) == 2
    assert all(Path(path).is_relative_to(home.cache / "trees") for path in where)


@pytest.fixture
def broken(home: Home) -> str:
    """A PATH with a bubblewrap that the host does not let make namespaces."""
    return script(home.directory / "bin", "bwrap", "echo 'bwrap: No permissions' >&2; exit 1")


def test_without_a_sandbox_a_build_stops(home: Home, broken: str) -> None:
    tree = tree_of(home, "touch report; exit 1")
    said = home.run("build", "--source", tree, PATH=broken)
    assert said.code == 3
    assert "--no-sandbox" in said.stderr
    assert "[build] sandbox = false" in said.stderr
    assert "No permissions" in said.stderr
    assert not list(home.cache.glob("trees/*/bmake-*"))


@pytest.mark.parametrize("way", ["flag", "settings"])
def test_a_build_without_a_sandbox_has_to_be_asked_for(home: Home, broken: str, way: str) -> None:
    tree = tree_of(home, "touch report; exit 1")
    words = ["--no-sandbox"] if way == "flag" else []
    if way == "settings":
        home.configure("[build]\nsandbox = false\n")
    assert home.run("build", "--source", tree, *words, PATH=broken).code == 4
    assert report(home) == ""


def test_the_built_in_guest_needs_no_sandbox(home: Home, broken: str) -> None:
    said = home.run("build", "--source", "embedded", PATH=broken)
    assert said.code == 0, said.stderr
