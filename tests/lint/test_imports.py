"""The code keeps to the table of edges between packages, and to its doors to the host."""

from __future__ import annotations

import ast
import functools
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import harness

PACKAGE = Path(harness.__file__).parent

SUBSYSTEMS = {
    f"subsystems.{file.parent.name}" for file in (PACKAGE / "subsystems").glob("*/__init__.py")
}
OF_ANY_SUBSYSTEM = {
    "cases", "arch", "errors", "outcome", "sanitizers", "cedit", "source", "kernel", "guest",
    "console", "mutation", "check", "onhost",
}  # fmt: skip
"""What a subsystem's package may import."""

BETWEEN_SUBSYSTEMS = {"subsystems.uma": {"subsystems", "subsystems.domainset"}}
"""What some import besides, and all that they may."""

EDGES: dict[str, set[str]] = {
    "architecture": set(),
    "arch": {"architecture"},
    "errors": set(),
    "printable": set(),
    "outcome": set(),
    "sanitizers": {"arch", "errors", "outcome"},
    "kerneloptions": {"errors", "sanitizers"},
    "cases": {"outcome", "mutation", "source"},
    "host": {"arch", "errors"},
    "config": {"errors", "host", "guest"},
    "cedit": set(),
    "source": {"kerneloptions", "arch", "errors", "host"},
    "kernel": {"kerneloptions", "arch", "errors", "sanitizers", "host", "source"},
    "shell": {"errors", "host"},
    "world": {"arch", "errors", "host", "source", "kernel", "image", "shell"},
    "imported": {"arch", "errors", "host"},
    "kyua": {"host", "shell", "guest", "console"},
    "execution": {"errors", "host", "shell", "guest", "console", "outcome"},
    "image": {"arch", "architecture", "errors", "sanitizers", "host", "kernel"},
    "guest": {"arch", "errors", "sanitizers", "host", "image", "shell"},
    "console": {"arch", "errors", "sanitizers", "host"},
    "watch": {"outcome", "console"},
    "verdict": {"outcome", "sanitizers", "console", "watch"},
    "verification": {"arch", "outcome", "kernel", "guest", "console", "verdict"},
    "mutation": {"errors", "kernel", "cedit"},
    "check": {"errors", "host", "guest", "console"},
    "onhost": {"arch", "cedit", "errors", "host", "source", "kernel", "guest", "console", "check"},
    "subsystems": {
        "cases", "errors", "outcome", "sanitizers", "host", "cedit", "source", "kernel", "guest",
        "console", "mutation", "check", "onhost", *SUBSYSTEMS,
    },
    "provide": {
        "errors", "sanitizers", "host", "source", "kernel", "image", "verification", "mutation",
        "onhost",
        "check", "subsystems", "bisect",
    },
    "bisect": {"arch", "errors", "host", "source"},
    "debug": {"arch", "architecture", "errors", "host", "kernel", "image", "guest"},
    "results": {
        "debug", "errors", "printable", "outcome", "host", "kernel", "console", "verdict",
        "verification", "mutation", "check", "bisect", "execution", "kyua",
    },
    "boot": {
        "arch", "errors", "outcome", "sanitizers", "host", "source", "kernel", "image", "guest",
        "console", "watch", "verdict", "verification", "check", "subsystems", "provide", "results",
        "debug", "world", "execution", "kyua", "shell", "imported",
    },
    "runs": {
        "arch",
        "cedit", "kerneloptions", "errors", "outcome", "sanitizers", "host", "config", "source",
        "kernel", "image", "guest", "console", "mutation", "check", "onhost", "bisect",
        "subsystems", "provide", "results", "boot", "debug", "verdict", "nightly",
        "group", "history", "notify", "world", "execution", "kyua", "shell", "pages", "imported",
    },
    "nightly": {
        "arch", "errors", "kerneloptions", "outcome", "printable", "sanitizers", "host", "guest",
    },
    "history": {"errors", "host", "nightly"},
    "group": {"arch", "errors", "history", "host"},
    "notify": {"errors", "printable", "nightly"},
    "pages": {"errors", "host", "nightly", "printable", "results"},
    "plugin": {
        "errors", "printable", "sanitizers", "source", "kernel", "guest", "console", "provide",
        "results", "runs", "shell",
    },
    "pytest_plugin": {"errors", "guest", "plugin", "printable", "runs"},
    "cli": {
        "cases", "kerneloptions", "errors", "printable", "outcome", "sanitizers", "host", "config",
        "source", "kernel", "guest", "console", "mutation", "bisect", "subsystems",
        "provide", "results", "boot", "runs", "debug", "nightly", "world", "execution", "shell",
        "group", "history", "pages",
    },
}  # fmt: skip
"""What each package imports of the others, and all that it may."""

SOURCES = sorted(path for path in PACKAGE.rglob("*.py") if "_data" not in path.parts)
EACH_SOURCE = pytest.mark.parametrize(
    "source", SOURCES, ids=[str(path.relative_to(PACKAGE)) for path in SOURCES]
)

PROCESS_MODULES = {"subprocess", "multiprocessing", "pty"}
PROCESS_DOOR = [
    PACKAGE / "host" / name
    for name in ("process.py", "guarded.py", "sessionguard.py", "foreground.py")
]
"""The door to processes, and the processes behind it."""

PROCESS_CALLS = {"system", "popen", "fork", "forkpty", "posix_spawn", "posix_spawnp"}
HOST_VERBS = {"HostRunner", "HostClock", "of_user"}

LINUX_MODULES = {"ctypes"}  # the way to prctl(2) and its like
LINUX_PATHS = ("/proc/", "/sys/", "/dev/kvm", "/dev/shm")
LINUX_NAMES = {
    "O_PATH", "O_TMPFILE", "epoll", "eventfd", "getxattr", "memfd_create", "pidfd_open", "prctl",
    "pidfd_send_signal", "prlimit", "sched_getaffinity", "sched_setaffinity", "setns", "setxattr",
    "timerfd_create", "unshare", "SO_PEERCRED", "AF_NETLINK", "AF_VSOCK",
    "cpu_affinity", "ionice", "memory_maps",
}  # fmt: skip
"""Names of os, select, socket and psutil that FreeBSD's Python does not have."""


@functools.cache
def parsed(source: Path) -> ast.Module:
    return ast.parse(source.read_text("utf-8"))


def package_of(words: tuple[str, ...]) -> str:
    """The node of EDGES that a module belongs to, by its name's words behind ``harness``."""
    two = ".".join(words[:2])
    return two if two in SUBSYSTEMS else words[0]


def node_of(source: Path) -> str:
    return package_of(source.relative_to(PACKAGE).with_suffix("").parts)


def imported(source: Path) -> Iterator[str]:
    """The full names of all modules that a file imports, wherever in it."""
    for node in ast.walk(parsed(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{source}: imports are absolute"
            assert node.module is not None
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def roots(source: Path) -> set[str]:
    return {name.partition(".")[0] for name in imported(source)}


def names(source: Path) -> set[str]:
    """Every name and attribute that a file uses."""
    found = set()
    for node in ast.walk(parsed(source)):
        if isinstance(node, ast.Attribute):
            found.add(node.attr)
        elif isinstance(node, ast.Name):
            found.add(node.id)
    return found


def strings(source: Path) -> set[str]:
    """Every string that a file uses; docstrings and comments may speak of anything."""
    nodes = list(ast.walk(parsed(source)))
    prose = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
    return {
        node.value
        for node in nodes
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose
    }


def used_by(package: str) -> set[str]:
    """The packages that the files of one import."""
    files = (source for source in SOURCES if node_of(source) == package)
    words = (tuple(name.split(".")[1:]) for file in files for name in imported(file)
             if name.startswith("harness."))  # fmt: skip
    return {package_of(each) for each in words} - {package, "__version__"}


def test_every_package_has_its_edges() -> None:
    assert {node_of(source) for source in SOURCES} == {*EDGES, *SUBSYSTEMS, "__init__"}


@pytest.mark.parametrize("package", ["__init__", *EDGES])
def test_package_imports_what_its_edges_say_and_nothing_else(package: str) -> None:
    assert used_by(package) == EDGES.get(package, set())


@pytest.mark.parametrize("package", sorted(SUBSYSTEMS))
def test_a_subsystem_imports_what_any_may_and_of_the_others_what_is_stated(package: str) -> None:
    stated = BETWEEN_SUBSYSTEMS.get(package, set())
    assert used_by(package) - OF_ANY_SUBSYSTEM == stated


@EACH_SOURCE
def test_processes_are_started_through_one_door(source: Path) -> None:
    if source in PROCESS_DOOR:
        return
    assert "harness.host.guarded" not in source.read_text()
    assert not roots(source) & PROCESS_MODULES
    called = {
        node.attr
        for node in ast.walk(parsed(source))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "os"
    }
    assert not {name for name in called if name in PROCESS_CALLS or name.startswith("exec")}


@EACH_SOURCE
def test_linux_stays_in_host(source: Path) -> None:
    if node_of(source) == "host":
        return
    assert not roots(source) & LINUX_MODULES
    assert not names(source) & LINUX_NAMES
    assert not [text for text in strings(source) if text.startswith(LINUX_PATHS)]


@EACH_SOURCE
def test_only_the_command_line_ends_the_program_or_takes_the_real_host(source: Path) -> None:
    """Who calls runs from Python takes the host with ``Environment.of_user``."""
    if node_of(source) in {"cli", "pytest_plugin"}:
        return
    assert "sys.exit" not in set(imported(source))
    exits = [
        node
        for node in ast.walk(parsed(source))
        if isinstance(node, ast.Attribute)
        and node.attr in {"exit", "_exit"}
        and isinstance(node.value, ast.Name)
        and node.value.id in {"sys", "os"}
    ]
    assert not exits
    if node_of(source) != "host" and source != PACKAGE / "runs" / "environment.py":
        assert not names(source) & HOST_VERBS


def test_runs_need_neither_the_command_line_nor_a_terminal() -> None:
    sources = [source for source in SOURCES if node_of(source) == "runs"]
    assert sources
    for source in sources:
        assert not roots(source) & {"click", "rich", "sys"}, source
        assert "print" not in names(source), source
    assert not [package for package, edges in EDGES.items() if "cli" in edges]


OF_NIGHTS = {
    "alembic", "apprise", "jinja2", "procrastinate", "psycopg", "smtplib", "sqlalchemy", "tomlkit",
}  # fmt: skip
"""Packages of the extras ``nightly`` and ``group``, which a boot does without."""


def test_a_boot_imports_no_package_of_nights() -> None:
    code = (
        "import sys, harness.cli.main, harness.cli.boot, harness.cli.gc, harness.runs.boot; "
        f"print(sorted({OF_NIGHTS!r} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
    nights = [*done.args[:2], code.replace("harness.runs.boot", "harness.runs.nights.night")]
    said = subprocess.run(nights, capture_output=True, text=True, check=True).stdout
    assert "sqlalchemy" in said
    assert "procrastinate" not in said, "a night on one machine does without it"


def test_only_its_own_package_names_what_is_umas() -> None:
    """UMA's slabs and zones have a place each; even help texts and comments elsewhere know none."""
    names = re.compile(r"\b(keg_\w+|uma_\w+|KMAP_ENTRY|M_USE_RESERVE|reserve_\w+)\b")
    own = [PACKAGE / "subsystems" / name for name in ("uma", "zones")]
    others = [each for each in SOURCES if not any(each.is_relative_to(path) for path in own)]
    named = {str(source): names.findall(source.read_text("utf-8")) for source in others}
    assert not {source: found for source, found in named.items() if found}


def test_subsystems_are_reached_through_their_table_alone() -> None:
    own = PACKAGE / "subsystems"
    packages = {f"harness.subsystems.{file.parent.name}" for file in own.glob("*/__init__.py")}
    assert packages
    reaching = {
        source
        for source in SOURCES
        if source.parent == own or not source.is_relative_to(own)
        if any(name.startswith(f"{package}.") for name in imported(source) for package in packages)
    }
    assert reaching == {own / "table.py"}


def test_only_its_provider_compares_with_the_name_of_the_built_in_guest() -> None:
    """All others ask the provider what they need to know."""
    name = re.compile(r"[\"']embedded[\"']|\bBUILT_IN\b|\bis_embedded\b")
    own = {PACKAGE / "provide", PACKAGE / "image"}
    others = [source for source in SOURCES if source.parent not in own]
    lines = [line for source in others for line in source.read_text("utf-8").splitlines()]
    assert not [line for line in lines if name.search(line) and ("==" in line or " in " in line)]
