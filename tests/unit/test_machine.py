"""What QEMU says of its machine, and where that is not what was asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from guest_specs import guest_spec
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import InfraError
from harness.guest.machine import Machine, machine_differences, read_machine
from harness.guest.topology import Node, Topology
from harness.host.accelerator import Accelerator
from harness.image.media import DirectKernel, EfiDirectory

MIB = 1 << 20
KERNEL = Path("/images/kernel.elf")
TOPOLOGY = Topology.of([Node(2, 1024), Node(0, 512), Node(1, 0)])

#: As QEMU 7.2 answers for that topology.
ANSWERS: dict[str, Any] = {
    "query-kvm": {"enabled": False, "present": True},
    "query-hotpluggable-cpus": [
        {"props": {"core-id": 0, "thread-id": 0, "node-id": 2, "socket-id": 2}, "vcpus-count": 1,
         "qom-path": "/machine/unattached/device[3]", "type": "max-x86_64-cpu"},
        {"props": {"core-id": 0, "thread-id": 0, "node-id": 0, "socket-id": 1}, "vcpus-count": 1,
         "qom-path": "/machine/unattached/device[2]", "type": "max-x86_64-cpu"},
        {"props": {"core-id": 0, "thread-id": 0, "node-id": 0, "socket-id": 0}, "vcpus-count": 1,
         "qom-path": "/machine/unattached/device[0]", "type": "max-x86_64-cpu"},
    ],
    "query-memdev": [
        {"share": False, "size": 512 * MIB, "policy": "default", "id": "ram-node1"},
        {"share": False, "size": 1024 * MIB, "policy": "default", "id": "ram-node0"},
    ],
    "human-monitor-command": "3 nodes\r\nnode 0 cpus: 0 1\r\nnode 0 size: 1024 MB\r\n"
    "node 0 plugged: 0 MB\r\nnode 1 cpus:\r\nnode 1 size: 512 MB\r\nnode 1 plugged: 0 MB\r\n"
    "node 2 cpus: 2\r\nnode 2 size: 0 MB\r\nnode 2 plugged: 0 MB\r\n",
    "query-memory-size-summary": {"base-memory": 1536 * MIB, "plugged-memory": 0},
    "qom-get": {"type": "pc-q35-7.2-machine", "kernel": "", "append": ""},
    "query-named-block-nodes": [
        {"drv": "file", "node-name": "firmware", "file": "/usr/share/OVMF/OVMF_CODE.fd"},
        {"drv": "vvfat", "node-name": "media",
         "file": 'json:{"dir": "/scratch/volume", "driver": "vvfat", "rw": false}'},
    ],
}  # fmt: skip


def read(changed: Mapping[str, Any]) -> Machine | None:
    answers = {**ANSWERS, **changed}

    def ask(command: str, arguments: Mapping[str, Any]) -> Any:
        answer = answers[command]
        return answer[arguments["property"]] if command == "qom-get" else answer

    return read_machine(ask)


MACHINE = read({})


def test_machine_is_read_from_qemus_answers() -> None:
    assert (
        Machine(
            accelerator=Accelerator.TCG,
            cpus={0: (0, 1), 2: (2,)},
            sockets=3,
            cores=1,
            threads=1,
            memory_mib={0: 1024, 1: 512},
            node_mib={0: 1024, 1: 512, 2: 0},
            total_mib=1536,
            board="pc-q35-7.2-machine",
            kernel="",
            append="",
            directories=("/scratch/volume",),
        )
        == MACHINE
    )


def test_machine_as_asked_has_no_differences() -> None:
    asked = guest_spec(TOPOLOGY, EfiDirectory(Path("/scratch/volume")))
    assert machine_differences(asked, MACHINE) == ()
    other_qemu = read({"human-monitor-command": "the layout is as you asked"})
    assert machine_differences(asked, other_qemu) == ()


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"accelerator": Accelerator.KVM}, "by kvm, not tcg"),
        ({"total_mib": 768}, "768 MiB, not 1536"),
        ({"memory_mib": {0: 512, 1: 1024}}, "node 0 has 512 MiB, not 1024"),
        ({"node_mib": {0: 512, 1: 1024, 2: 0}}, "node 0 has 512 MiB, not 1024"),
        ({"cpus": {0: (0,), 2: (1, 2)}}, "node 0 has CPU 0, not CPUs 0-1"),
        ({"cpus": {0: (0, 1), 2: (2,), 3: (3,)}}, "node 3 that was not requested"),
        ({"board": "pc-i440fx-7.2-machine"}, "a pc-i440fx-7.2-machine, not a q35"),
        ({"append": "vm.x=1"}, "the command line 'vm.x=1', not ''"),
        ({"kernel": "/elsewhere/kernel"}, "starts the kernel /elsewhere/kernel, not none"),
        ({"directories": ("/scratch/volume", "/usb")}, "'/usb'"),
        ({"directories": ()}, "serves [], not"),
    ],
)
def test_other_machine_is_told_in_words(changed: dict[str, Any], words: str) -> None:
    assert MACHINE is not None
    found = machine_differences(
        guest_spec(TOPOLOGY, EfiDirectory(Path("/scratch/volume"))), replace(MACHINE, **changed)
    )
    assert any(words in one for one in found), found


def test_kernel_that_qemu_starts_must_be_the_one_that_was_named() -> None:
    asked = guest_spec(TOPOLOGY, DirectKernel(KERNEL))
    assert MACHINE is not None
    started = replace(MACHINE, kernel=str(KERNEL), directories=())
    assert machine_differences(asked, started) == ()
    assert machine_differences(asked, replace(started, kernel="/old/kernel"))


def test_qemu_that_does_not_answer_proves_nothing() -> None:
    def silent(command: str, _: Mapping[str, Any]) -> Any:
        raise InfraError(f"QEMU did not answer {command}")

    assert read_machine(silent) is None
    assert machine_differences(guest_spec(TOPOLOGY, DirectKernel(KERNEL)), None) == (
        "QEMU does not describe the machine that it started",
    )


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
)


@given(st.sampled_from(sorted(ANSWERS)), JSON)
def test_answers_of_any_other_shape_prove_nothing_or_are_read(command: str, answer: Any) -> None:
    machine = read({command: answer})
    assert machine is None or isinstance(machine, Machine)
