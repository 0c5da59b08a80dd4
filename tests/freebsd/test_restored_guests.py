"""Guests with FreeBSD's userland that start from a ready snapshot, on ``$HARNESS_NEWER_SOURCE``."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from harness_command import Answer, harness

pytestmark = [pytest.mark.freebsd, pytest.mark.long, pytest.mark.timeout(7200)]

GUEST = ("--kasan", "--memory", "1536", "--world", "tests")

RESTORES = 100

WITH_RANDOM_BYTES = 10
"""How many of them compare random bytes."""

RANDOM_BYTES = 65536

SAME = 16
"""Bytes in a row that no two guests may share."""


FATES = (
    "true",
    "exit 3",
    "kill -9 $$",
    "sysctl debug.kdb.panic=1",
    "sysctl debug.kdb.trap=1",
    "sysctl debug.kdb.trap_code=1",
    "reboot -q",
    "shutdown -p now; sleep 600",
)
"""Commands that end in different ways."""


def executed(tree: Path, out: Path, command: str, *more: str) -> Answer:
    guest = ("--numa", "2", *GUEST)
    return harness("exec", "--source", tree, *guest, *more, out=out, guest=command)


def output(answer: Answer, out: Path) -> bytes:
    (cell,) = answer.cells().values()
    path: Path = out / answer.document["name"] / cell["name"] / "stdout.log"
    return path.read_bytes()


@pytest.fixture(scope="module")
def saved(newer_tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tree, with a snapshot of the guest."""
    answer = executed(newer_tree, tmp_path_factory.mktemp("saved"), "true")
    assert answer.code == 0, answer.told
    return newer_tree


def test_restored_guests_have_equal_facts_and_no_random_bytes_in_common(
    saved: Path, tmp_path: Path
) -> None:
    seen: dict[bytes, int] = {}
    facts, nonces = set(), set()
    for number in range(RESTORES):
        answer = executed(saved, tmp_path, f"dd if=/dev/random bs={RANDOM_BYTES} count=1")
        (cell,) = answer.cells().values()
        assert cell["snapshot"], answer.told
        assert (cell["verified"], answer.code) == (True, 0)
        report = {name: value for name, value in cell["report"].items() if name != "subsystems"}
        facts.add(str(sorted(report.items())))
        nonces.add(cell["verification"]["nonce"])
        if number >= WITH_RANDOM_BYTES:
            continue
        data = output(answer, tmp_path)
        assert len(data) == RANDOM_BYTES
        for at in range(len(data) - SAME + 1):
            assert seen.setdefault(data[at : at + SAME], number) == number
    assert (len(facts), len(nonces)) == (1, RESTORES)


def test_a_restored_guest_has_the_time(saved: Path, tmp_path: Path) -> None:
    before = time.time()
    answer = executed(saved, tmp_path, "date +%s")
    after = time.time()
    (cell,) = answer.cells().values()
    assert cell["snapshot"]
    assert before - 1 <= int(output(answer, tmp_path)) <= after + 1


def test_a_restored_guests_panic_is_judged_as_a_booted_ones(saved: Path, tmp_path: Path) -> None:
    outcomes = []
    for more in ((), ("--no-snapshot",)):
        answer = executed(saved, tmp_path, "sysctl debug.kdb.panic=1", *more)
        (cell,) = answer.cells().values()
        functions = [frame["function"] for frame in cell["verdict"]["symbolized"]]
        assert "kdb_sysctl_panic" in functions
        assert cell["verified"]
        outcomes.append((cell["verdict"]["outcome"], cell["verdict"]["title"], answer.code))
        assert bool(cell["snapshot"]) is not bool(more)
    assert outcomes[0] == outcomes[1]


def judged(tree: Path, out: Path, nodes: int, command: str, *more: str) -> tuple[object, ...]:
    """The verdict of a guest in which a command ran."""
    answer = harness(
        "exec", "--source", tree, "--numa", str(nodes), *GUEST, *more, out=out, guest=command
    )
    (cell,) = answer.cells().values()
    assert cell["verified"], answer.told
    assert bool(cell["snapshot"]) is not bool(more)
    verdict, program = cell["verdict"], cell["program"]
    return (
        verdict["outcome"], verdict["title"], program["status"], program["unfinished"], answer.code,
    )  # fmt: skip


@pytest.mark.parametrize("nodes", [1, 2, 4])
def test_no_verdict_of_a_restored_guest_differs_from_a_booted_ones(
    newer_tree: Path, tmp_path: Path, nodes: int
) -> None:
    saved = harness(
        "exec", "--source", newer_tree, "--numa", str(nodes), *GUEST, out=tmp_path, guest="true"
    )
    assert saved.code == 0, saved.told
    for command in FATES:
        restored = judged(newer_tree, tmp_path, nodes, command)
        assert restored == judged(newer_tree, tmp_path, nodes, command, "--no-snapshot"), command
