"""Guests described in files: those shipped, the user's own, and the mistakes in them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import UsageError
from harness.guest.sanitizermemory import memory_warnings
from harness.guest.topology import Node, Package, Topology
from harness.guest.vmconfig import (
    VmConfig,
    load_vmconfig,
    parse_vmconfig,
    render_vmconfig,
    vmconfig_names,
)
from harness.sanitizers import NONE, TABLE, Sanitizers
from harness.subsystems.table import cases


def parse(text: str) -> VmConfig:
    return parse_vmconfig(text, name="mine", origin="mine.toml")


def refusal(text: str) -> UsageError:
    with pytest.raises(UsageError) as refused:
        parse(text)
    assert "mine.toml" in refused.value.message
    assert refused.value.remedy
    return refused.value


@pytest.mark.parametrize("name", vmconfig_names())
def test_every_shipped_guest_is_described_and_named_after_its_sanitizer(name: str) -> None:
    config = load_vmconfig(name)
    assert config.name == name
    assert config.description
    suffix = "" if config.sanitizers == NONE else f"-{config.sanitizers}"
    assert name.endswith(suffix)
    assert ("kasan" in name or "kmsan" in name) == bool(suffix)


@pytest.mark.parametrize("nodes", [1, 2, 4, 8])
def test_even_guests_are_shipped(nodes: int) -> None:
    config = load_vmconfig(f"numa{nodes}-kasan")
    assert config.topology == Topology.even(nodes)


def test_every_shipped_guest_has_the_memory_that_its_sanitizer_needs() -> None:
    of_cases = {case.vm for case in cases().values()}
    for name in set(vmconfig_names()) - of_cases:
        config = load_vmconfig(name)
        assert memory_warnings(config.topology, config.sanitizers) == (), name


def test_the_shipped_guests_cover_the_uneven_layouts() -> None:
    topologies = [load_vmconfig(name).topology for name in vmconfig_names()]
    assert any(len({node.memory_mib for node in t.nodes} - {0}) > 1 for t in topologies)
    assert any(node.memory_mib == 0 for t in topologies for node in t.nodes)
    assert any(node.cpus == 0 for t in topologies for node in t.nodes)
    assert any({d for row in t.distances for d in row} - {10, 20} for t in topologies)
    assert any(tuple(zip(*t.distances, strict=True)) != t.distances for t in topologies)


def test_only_the_guest_with_a_node_without_cpus_warns() -> None:
    warned = [name for name in vmconfig_names() if load_vmconfig(name).topology.warnings()]
    assert warned == ["cpuless-kasan"]


def test_a_file_of_the_users_own_is_given_by_path(tmp_path: Path) -> None:
    path = tmp_path / "two.toml"
    path.write_text("[[node]]\n[[node]]\nmemory_mib = 512\n")
    config = load_vmconfig(path)
    assert config.name == "two"
    assert config.sanitizers == NONE
    assert config.topology.nodes == (Node(1, 1024), Node(1, 512))


def test_an_unknown_name_is_refused_with_the_nearest_and_all_names() -> None:
    with pytest.raises(UsageError) as refused:
        load_vmconfig("numa4-kassan")
    assert "numa4-kassan" in refused.value.message
    assert "did you mean numa4-kasan?" in refused.value.remedy
    assert "numa8-kasan" in refused.value.remedy


def test_a_missing_file_is_refused_with_its_path(tmp_path: Path) -> None:
    path = tmp_path / "none.toml"
    with pytest.raises(UsageError, match="No such file") as refused:
        load_vmconfig(path)
    assert str(path) in refused.value.message


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "binary.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match=r"binary\.toml: cannot be read"):
        load_vmconfig(path)


def test_text_that_is_not_toml_is_refused_with_the_line() -> None:
    assert "line 2" in refusal("[[node]]\ncpus = = 1\n").message


@pytest.mark.parametrize(
    ("text", "key", "suggestion"),
    [
        ("sanitiser = 'kasan'\n[[node]]\n", "sanitiser", "did you mean sanitizer?"),
        ("[[node]]\nmemory_mb = 512\n", "node[0].memory_mb", "did you mean memory_mib?"),
        ("[[node]]\n[[node]]\ncpu = 1\n", "node[1].cpu", "did you mean cpus?"),
        ("[[node]]\n[network]\n", "network", "known here: description, sanitizer"),
    ],
)
def test_an_unknown_key_is_refused_with_a_suggestion(text: str, key: str, suggestion: str) -> None:
    error = refusal(text)
    assert error.message.endswith(f"unknown key {key}")
    assert suggestion in error.remedy


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "node is missing"),
        ("node = []\n", "node = []"),
        ("[[node]]\ncpus = '1'\n", "node[0].cpus = '1'"),
        ("[[node]]\ncpus = -1\n", "node[0].cpus = -1"),
        ("[[node]]\ncpus = [0, 'x']\n", "node[0].cpus"),
        ("[[node]]\ncpus = [0, 2]\n", "none is CPU 1"),
        ("[[node]]\ncpus = [1, 0]\n", "not 2 ascending numbers"),
        ("[[node]]\ncpus = [0, 0]\n", "CPU 0 is in node 0 and in node 0"),
        ("[[node]]\ncpus = [0]\n[[node]]\ncpus = [0]\n", "CPU 0 is in node 0 and in node 1"),
        ("[[node]]\ncpus = [0]\n[[node]]\ncpus = 1\n", "node 1 has 1 CPUs without numbers"),
        ("threads = 2\n[[node]]\n[[node]]\n", "CPUs 0 and 1 are threads of one core"),
        ("threads = 2\n[[node]]\n", "1 CPUs do not fill sockets of 1 cores x 2 threads"),
        ("threads = 0\n[[node]]\n", "1 cores and 0 threads"),
        ("sockets = 3\n[[node]]\ncpus = 2\n", "sockets = 3: 2 CPUs fill 2 sockets"),
        ("cores = 129\n[[node]]\ncpus = 129\nmemory_mib = 9\n[[node]]\ncpus = 129\n", "258 CPUs"),
        ("cores = 65\n[[node]]\ncpus = 195\n", "APIC ids up to 320"),
        ("cores = -1\n[[node]]\n", "cores = -1"),
        ("[[node]]\ncpus = true\n", "node[0].cpus = True"),
        ("[[node]]\nmemory_mib = 1.5\n", "node[0].memory_mib = 1.5"),
        (
            "sanitizer = 'asan'\n[[node]]\n",
            "sanitizer: there is no sanitizer 'asan'",
        ),
        ("distances = [[10, 20], [20, 'x']]\n[[node]]\n[[node]]\n", "distances[1][1] = 'x'"),
        ("distances = [[10]]\n[[node]]\n[[node]]\n", "not a table of 2 rows"),
        ("[[node]]\n" * 9, "9 nodes: FreeBSD/amd64 supports at most 8"),
        ("[[node]]\ncpus = 0\nmemory_mib = 0\n[[node]]\n", "node 0 has neither"),
    ],
)
def test_a_bad_value_is_refused_with_its_key(text: str, words: str) -> None:
    assert words in refusal(text).message


@st.composite
def configs(draw: st.DrawFn) -> VmConfig:
    sizes = st.builds(Node, st.integers(0, 15), st.integers(0, 1 << 20)).filter(
        lambda node: node.cpus or node.memory_mib
    )
    some = draw(st.lists(sizes, max_size=7))
    nodes = (Node(1, 512), *some)
    distances = tuple(
        tuple(10 if i == j else draw(st.integers(11, 255)) for j in range(len(nodes)))
        for i in range(len(nodes))
    )
    text = st.text(st.characters(exclude_categories=["Cs"]))
    sanitizers = draw(st.sampled_from([NONE, *(Sanitizers({row}) for row in TABLE)]))
    package = draw(st.sampled_from([Package(), Package(2, 1), Package(1, 2)]))
    nodes = tuple(replace(node, cpus=node.cpus * package.cpus) for node in nodes)
    if draw(st.booleans()):  # numbered backwards, by pairs
        last = sum(node.cpus for node in nodes)
        numbered = []
        for node in nodes:
            numbered.append(replace(node, numbers=tuple(range(last - node.cpus, last))))
            last -= node.cpus
        nodes = tuple(numbered)
    return VmConfig("mine", draw(text), sanitizers, Topology(nodes, distances, package))


@given(configs())
def test_a_guest_written_to_a_file_is_read_back_equal(config: VmConfig) -> None:
    assert parse(render_vmconfig(config)) == config


@given(st.text())
def test_any_text_is_a_guest_or_a_usage_error(text: str) -> None:
    try:
        config = parse(text)
    except UsageError:
        return
    assert config.topology.nodes
