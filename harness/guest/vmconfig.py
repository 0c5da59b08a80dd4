"""vm files: a TOML file for each guest, shipped in ``vmconfigs/`` or the user's own.

Flags override a file's values. ``vmconfigs/README.md`` documents the format.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec

from harness.errors import UsageError, did_you_mean
from harness.guest.backends import BACKENDS, FixedMachine
from harness.guest.sanitizermemory import default_memory_mib
from harness.guest.topology import Node, Package, Topology, even_distances
from harness.host.jsontoml import parse_toml
from harness.host.resources import data_file
from harness.host.tables import Complaint, Table, read_table
from harness.sanitizers import Sanitizers, parse_sanitizers

_SUFFIX: Final = ".toml"


@dataclass(frozen=True, slots=True)
class VmConfig:
    """The guest that a vm file describes.

    Args:
        name: the file's name without its suffix.
        description: free text.
        sanitizers: its kernel's.
        topology: its nodes.
        machine: the existing machine that the table of a backend describes; None for a guest
            that any backend can create.
    """

    name: str
    description: str
    sanitizers: Sanitizers
    topology: Topology
    machine: FixedMachine | None = None


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


def vmconfig_names(directory: Path | None = None) -> tuple[str, ...]:
    """Return the sorted names of the guests in ``directory`` (default: those shipped)."""
    return tuple(sorted(path.stem for path in _directory(directory).glob(f"*{_SUFFIX}")))


def load_vmconfig(name_or_path: str | Path, directory: Path | None = None) -> VmConfig:
    """Return the guest of that name in ``directory`` (default: those shipped) or file.

    An argument that ends in ``.toml`` or contains a ``/`` is a path, anything else a name.

    Raises:
        UsageError: no such guest or file, not TOML, an unknown or invalid key, or an impossible
            layout.
    """
    path = _find(str(name_or_path), _directory(directory))
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}",
            remedy="give a readable TOML file, or one of the shipped guests: "
            + ", ".join(vmconfig_names(directory)),
        ) from error
    return parse_vmconfig(text, name=path.stem, origin=str(path))


def parse_vmconfig(text: str, *, name: str, origin: str) -> VmConfig:
    """Return the guest that a TOML text describes; ``origin`` is the prefix of errors.

    Raises:
        UsageError: see ``load_vmconfig``.
    """
    try:
        table = parse_toml(text)
    except ValueError as error:
        raise UsageError(f"{origin}: not TOML: {error}", remedy="correct that line") from error
    machine = _machine(table, Path(origin))
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
    return VmConfig(name, file.description, sanitizers, topology, machine)


def _machine(table: dict[str, Any], file: Path) -> FixedMachine | None:
    """Remove a backend's table from the file's and return its machine.

    Raises:
        UsageError: see ``load_vmconfig``.
    """
    rows = [row for row in BACKENDS if row.has_machines and row.name in table]
    found = None
    for row in rows:
        own, read = table.pop(row.name), row.type.read_machine
        try:
            if not isinstance(own, dict) or read is None:
                raise Complaint("", "it must be a table", own)
            found = replace(read(own, file), backend=row.name)
        except Complaint as complaint:
            key = f"{row.name}.{complaint.key}".rstrip(".")
            raise UsageError(
                f"{file}: {key}: {_wrong(complaint)}",
                remedy="see vmconfigs/README.md for the known keys",
            ) from complaint
    if len(rows) > 1:
        names = " and ".join(f"[{row.name}]" for row in rows)
        raise UsageError(f"{file}: {names} both start the machine", remedy="remove one of them")
    return found


def _wrong(complaint: Complaint) -> str:
    if complaint.unknown or complaint.missing:
        return "there is no such key" if complaint.unknown else "it is missing"
    return f"{complaint.what}, not {_shown(complaint.value)}"


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
            remedy="give the nodes as many CPUs as sockets x cores x threads",
        )


def render_vmconfig(config: VmConfig) -> str:
    """Return TOML text that ``parse_vmconfig`` reads back as an equal guest."""
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


def _directory(directory: Path | None) -> Path:
    return data_file("vmconfigs") if directory is None else directory


def _find(wanted: str, directory: Path) -> Path:
    if "/" in wanted or wanted.endswith(_SUFFIX):
        return Path(wanted)
    names = vmconfig_names(directory)
    if wanted in names:
        return directory / f"{wanted}{_SUFFIX}"
    hint = did_you_mean(wanted, names)
    raise UsageError(
        f"no guest named {wanted!r}",
        remedy=f"{hint}there are {', '.join(names)}; a file needs a path ending in .toml",
    )


def _key_error(origin: str, complaint: Complaint) -> UsageError:
    """Return the first complaint as an error: the key, the problem, the valid values."""
    key = complaint.key
    if complaint.unknown:
        known = _known_keys(key)
        hint = did_you_mean(key.rpartition(".")[2], known)
        return UsageError(
            f"{origin}: unknown key {key}", remedy=f"{hint}known here: {', '.join(known)}"
        )
    if complaint.missing:
        return UsageError(f"{origin}: {key} is missing", remedy=f"add at least one [[{key}]] table")
    return UsageError(
        f"{origin}: {key} = {_shown(complaint.value)}: {complaint.what}",
        remedy="see vmconfigs/README.md or a shipped file for the format",
    )


def _known_keys(key: str) -> tuple[str, ...]:
    table = _NodeFile if key.startswith("node[") else _VmFile
    return table.__struct_fields__


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
