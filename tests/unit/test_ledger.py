"""The ledger of cores and memory, which all harnesses of a host share."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

from harness.host.clock import HostClock
from harness.host.ledger import Ledger, Room
from harness.host.workspace import Workspace


def made_ledger(directory: Path) -> Ledger:
    return Ledger(Workspace(directory / "cache", directory / "state", directory / "run"), "here")


def test_a_ledger_makes_cells_wait_for_those_of_other_harnesses(tmp_path: Path) -> None:
    ledger, most, clock = made_ledger(tmp_path), Room(2.0, 100), HostClock()
    code = (
        "import sys; sys.path.insert(0, sys.argv[2]);"
        "from pathlib import Path; from test_ledger import made_ledger, Room;"
        "ledger = made_ledger(Path(sys.argv[1]));"
        "context = ledger.noted(Room(1.5, 10)); context.__enter__();"
        "print(flush=True); sys.stdin.read()"
    )
    words = [sys.executable, "-c", code, str(tmp_path), str(Path(__file__).parent)]
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    entered = threading.Event()

    def wait() -> None:
        with ledger.reserved(Room(1.0, 10), most, clock):
            entered.set()

    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env) as other:
        assert other.stdout is not None
        other.stdout.readline()
        with ledger.reserved(Room(0.5, 90), most, clock):
            pass
        thread = threading.Thread(target=wait)
        thread.start()
        assert not entered.wait(0.6)
        other.kill()  # its entry does not count from then on
    assert entered.wait(100.0)
    thread.join()


def test_a_ledger_admits_what_is_too_large_alone_and_survives_damage(tmp_path: Path) -> None:
    ledger, clock = made_ledger(tmp_path), HostClock()
    with ledger.reserved(Room(9.0, 9), Room(1.0, 1), clock), ledger.noted(Room(1.0, 1)):
        (file,) = (tmp_path / "cache" / "ledgers").iterdir()
        assert len(json.loads(file.read_text())) == 1, "it has reserved all that it takes"
    assert json.loads(file.read_text()) == []
    for damage in ("", "{}", "[1]", '[{"process": {"pid": 1}}]'):
        file.write_text(damage)
        with ledger.noted(Room(1.0, 1)):
            assert len(json.loads(file.read_text())) == 1
