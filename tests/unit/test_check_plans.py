"""What a check is of, and where."""

from __future__ import annotations

from copy import copy
from pathlib import Path

import pytest
from fake_environment import FakeProvider
from small_tree import DOMAINSET, UMA, plain_tree

from harness.errors import UsageError
from harness.host.clock import HostClock
from harness.host.process import HostRunner
from harness.host.workspace import Workspace
from harness.runs.checkplans import checked_on_host, checked_subsystems
from harness.runs.checkrequest import CheckRequest, On
from harness.runs.environment import Environment
from harness.runs.watchedcheck import followed_files
from harness.source.request import KernelRequest
from harness.subsystems.subsystem import Subsystem
from harness.subsystems.table import SUBSYSTEMS


def in_guests_alone(subsystem: Subsystem) -> Subsystem:
    """The same without a part of the host program."""
    made = copy(subsystem)
    vars(made).update(name=f"{subsystem.name}-in-guests", on_host=None)
    return made


def test_a_check_on_the_host_leaves_out_what_guests_alone_can_show() -> None:
    known = SUBSYSTEMS[0]
    assert checked_on_host((in_guests_alone(SUBSYSTEMS[1]), known)) == (known,)


def test_a_check_on_the_host_of_nothing_else_is_refused() -> None:
    with pytest.raises(UsageError, match="uma-in-guests can be checked in a guest only"):
        checked_on_host([in_guests_alone(SUBSYSTEMS[0])])


@pytest.mark.parametrize("spec", ["invariants", "phased"])
def test_a_form_that_no_part_of_the_kernel_has_is_refused(tmp_path: Path, spec: str) -> None:
    """A check of nothing would pass."""
    only = FakeProvider(tmp_path, subsystems=SUBSYSTEMS[:1])
    request = CheckRequest(KernelRequest("made"), spec=spec)
    with pytest.raises(UsageError, match=f"--spec {spec}: a made kernel has no subsystem"):
        checked_subsystems(request, only)


def watched_files(tmp_path: Path, **asked: object) -> tuple[str, ...]:
    """The files of a tree that ``--watch`` follows."""
    workspace = Workspace(tmp_path / "cache", tmp_path / "state", tmp_path / "run")
    env = Environment(workspace=workspace, runner=HostRunner(), clock=HostClock())
    what = KernelRequest(str(plain_tree(tmp_path / "tree")))
    (tmp_path / "tree/sys/vm/uma_dbg.c").touch()
    return followed_files(CheckRequest(what, on=On.HOST, **asked), env).paths  # type: ignore[arg-type]


def test_watching_follows_the_files_of_what_is_checked(tmp_path: Path) -> None:
    """A subsystem, a form of one, or the trace of one choose as they do without ``--watch``."""
    trace = tmp_path / "found.trace"
    trace.write_text("iterators form=phased domains=2 empty=none\n")
    assert {UMA, DOMAINSET} < set(watched_files(tmp_path))
    assert watched_files(tmp_path, subsystem="domainset") == (DOMAINSET,)
    assert watched_files(tmp_path, spec="phased") == (DOMAINSET,)
    assert watched_files(tmp_path, replay=trace) == (DOMAINSET,)
