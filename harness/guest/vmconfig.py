"""Guests described in files: one TOML file a guest, shipped in ``vmconfigs/`` or the user's own.

A file gives defaults that flags override::

    description = "Two nodes, the second three times as large"
    sanitizer = "kasan"                 # as of --sanitizer; none if left out
    distances = [[10, 21], [21, 10]]    # row = from; 10 and 20 if left out
    sockets = 2                         # CPUs are numbered by socket, core and thread;
    cores = 1                           # a socket has one core and a core one thread if left out,
    threads = 1                         # and there are as many sockets as the CPUs fill

    [[node]]
    cpus = 1                            # 1 if left out; 0: a node without CPUs; or their numbers,
                                        # such as [0, 2]: of all nodes, without gaps
    memory_mib = 512                    # 1024 if left out, more for a shadow; 0: without memory

    [[node]]
    memory_mib = 1536
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec

from harness.errors import UsageError
from harness.guest.shadow import default_memory_mib
from harness.guest.topology import Node, Package, Topology, even_distances
from harness.host.documents import parse_toml
from harness.host.resources import data_file
from harness.host.tables import Complaint, Table, read_table
from harness.sanitizers import Sanitizers, parse_sanitizers

_SUFFIX: Final = ".toml"


@dataclass(frozen=True, slots=True)
class VmConfig:
    """A guest as a file describes it. ``name`` is the file's name without its suffix."""

    name: str
    description: str
    sanitizers: Sanitizers
    topology: Topology


_Count = Annotated[int, msgspec.Meta(ge=0, le=999)]


class _NodeFile(Table, frozen=True):
    cpus: _Count | list[_Count] = 1
    memory_mib: Annotated[int, msgspec.Meta(ge=0)] | None = None


class _VmFile(Table, frozen=True, kw_only=True):
    description: str = ""
    sanitizer: str = "none"
    node: Annotated[list[_NodeFile], msgspec.Meta(min_length=1)]
    distances: list[list[int]] | None = None
    sockets: _Count | None = None
    cores: _Count | None = None
    threads: _Count | None = None


def vmconfig_names(folder: Path | None = None) -> tuple[str, ...]:
    """The names of the guests described in ``folder`` (default: those shipped), sorted."""
    return tuple(sorted(path.stem for path in _folder(folder).glob(f"*{_SUFFIX}")))


def load_vmconfig(name_or_path: str | Path, folder: Path | None = None) -> VmConfig:
    """The guest of that name in ``folder`` (default: those shipped), or in that file.

    Whatever ends in ``.toml`` or holds a ``/`` is a path, anything else a name.

    Raises:
        UsageError: no such guest or file, not TOML, an unknown or bad key, or a layout that
            cannot be.
    """
    path = _find(str(name_or_path), _folder(folder))
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}",
            remedy="Give a readable TOML file, or one of the shipped guests: "
            + ", ".join(vmconfig_names(folder)),
        ) from error
    return parse_vmconfig(text, name=path.stem, origin=str(path))


def parse_vmconfig(text: str, *, name: str, origin: str) -> VmConfig:
    """The guest that this TOML text describes; ``origin`` stands in front of errors.

    Raises:
        UsageError: see ``load_vmconfig``.
    """
    try:
        table = parse_toml(text)
    except ValueError as error:
        raise UsageError(f"{origin}: not TOML: {error}", remedy="Mend that line.") from error
    try:
        file = read_table(table, _VmFile)
    except Complaint as complaint:
        raise _key_error(origin, complaint) from complaint
    try:
        sanitizers = parse_sanitizers(file.sanitizer)
    except UsageError as error:
        raise UsageError(f"{origin}: sanitizer: {error.message}", remedy=error.remedy) from error
    defaults = (
        default_memory_mib(sanitizers, number, len(file.node)) for number in range(len(file.node))
    )
    nodes = tuple(
        _node(node, default if node.memory_mib is None else node.memory_mib)
        for node, default in zip(file.node, defaults, strict=True)
    )
    distances = even_distances(len(nodes))
    if file.distances is not None:
        distances = tuple(tuple(row) for row in file.distances)
    try:
        topology = Topology(nodes, distances, _package(file))
        _check_sockets(file, topology)
    except UsageError as error:
        raise UsageError(f"{origin}: {error.message}", remedy=error.remedy) from error
    return VmConfig(name, file.description, sanitizers, topology)


def _node(node: _NodeFile, memory_mib: int) -> Node:
    if isinstance(node.cpus, int):
        return Node(node.cpus, memory_mib)
    return Node(len(node.cpus), memory_mib, tuple(node.cpus))


def _package(file: _VmFile) -> Package:
    return Package(
        1 if file.cores is None else file.cores, 1 if file.threads is None else file.threads
    )


def _check_sockets(file: _VmFile, topology: Topology) -> None:
    if file.sockets is not None and file.sockets != topology.sockets:
        package = topology.package
        raise UsageError(
            f"sockets = {file.sockets}: {topology.cpus} CPUs fill {topology.sockets} sockets of "
            f"{package.cores} cores x {package.threads} threads",
            remedy="Give the nodes as many CPUs as sockets x cores x threads.",
        )


def render_vmconfig(config: VmConfig) -> str:
    """The TOML text that ``parse_vmconfig`` reads back as an equal guest."""
    lines = [
        f"description = {_toml_string(config.description)}",
        f'sanitizer = "{config.sanitizers}"',
        f"distances = {[list(row) for row in config.topology.distances]}",
        f"sockets = {config.topology.sockets}",
        f"cores = {config.topology.package.cores}",
        f"threads = {config.topology.package.threads}",
    ]
    for node in config.topology.nodes:
        cpus = node.cpus if node.numbers is None else list(node.numbers)
        lines += ["", "[[node]]", f"cpus = {cpus}", f"memory_mib = {node.memory_mib}"]
    return "\n".join(lines) + "\n"


def _toml_string(text: str) -> str:
    escaped = "".join(
        f"\\U{ord(char):08x}" if char in '"\\' or not char.isprintable() else char for char in text
    )
    return f'"{escaped}"'


def _folder(folder: Path | None) -> Path:
    return data_file("vmconfigs") if folder is None else folder


def _find(wanted: str, folder: Path) -> Path:
    if "/" in wanted or wanted.endswith(_SUFFIX):
        return Path(wanted)
    names = vmconfig_names(folder)
    if wanted in names:
        return folder / f"{wanted}{_SUFFIX}"
    close = difflib.get_close_matches(wanted, names, n=1)
    hint = f"Did you mean {close[0]}? " if close else ""
    raise UsageError(
        f"no guest named {wanted!r}",
        remedy=f"{hint}There are {', '.join(names)}; a file is given by a path ending in .toml.",
    )


def _key_error(origin: str, complaint: Complaint) -> UsageError:
    """The first complaint in words: which key, what is wrong with it, what would be right."""
    key = complaint.key
    if complaint.unknown:
        known = _known_keys(key)
        close = difflib.get_close_matches(key.rpartition(".")[2], known, n=1)
        hint = f"Did you mean {close[0]}? " if close else ""
        return UsageError(
            f"{origin}: unknown key {key}", remedy=f"{hint}Known here: {', '.join(known)}."
        )
    if complaint.missing:
        return UsageError(
            f"{origin}: {key} is missing", remedy=f"Add at least one [[{key}]] table."
        )
    return UsageError(
        f"{origin}: {key} = {_shown(complaint.value)}: {complaint.what}",
        remedy="See the head of harness/guest/vmconfig.py or a shipped file for the form.",
    )


def _known_keys(key: str) -> tuple[str, ...]:
    table = _NodeFile if key.startswith("node[") else _VmFile
    return table.__struct_fields__


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
