"""``harness doctor``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from harness.cli.completion import complete_vms
from harness.cli.options import common_options
from harness.errors import HarnessError, InfraError, UsageError, given_with
from harness.guest.accelerator_choice import choose_accelerator
from harness.guest.backends import BackendHost, find_about_backends, find_backend
from harness.guest.firmware import find_firmware
from harness.guest.registry import Registry
from harness.guest.vmconfig import load_vmconfig
from harness.host.doctor import (
    Doctor,
    HostFinding,
    can_do_main_job,
    good,
    install,
    missing_packages,
)
from harness.host.repair import sweep
from harness.kernel.toolchain import installed_llvms
from harness.printable import printable
from harness.provide.sources import NAMED_SOURCES
from harness.source.clone import unreachable
from harness.source.location import OFFICIAL_SOURCE, is_url
from harness.source.revision import parse_release

if TYPE_CHECKING:
    from harness.cli.app import App
    from harness.host.process import Runner

_NEWVERS = "sys/conf/newvers.sh"

#: Timeout of a repository, in seconds.
_REACH_SECONDS = 20.0
_REACH = (
    "check the network, its proxy (https_proxy) and the URL, or name a tree: HARNESS_SOURCE, or "
    "source.tree of the settings"
)


@click.command()
@click.option(
    "--repair",
    is_flag=True,
    help="Measure the accelerators again, and remove leftovers of killed harnesses.",
)
@click.option(
    "--vm", metavar="NAME|FILE", help="Check a machine of backend 'command', too.",
    shell_complete=complete_vms,
)  # fmt: skip
@common_options
def doctor(app: App, repair: bool, vm: str | None) -> int:
    """Check this host, and list what to install.

    Exit status: 0 if kernels can be built, booted and compared, else 3.

    \b
    Examples:
      harness doctor
      harness doctor --repair
      harness doctor --vm ./numabox.toml
    """
    # Guests first, so that their sockets and directories have no owner.
    guests = Registry(app.workspace, app.clock)
    repairs = [*guests.sweep(), *sweep(app.workspace)] if repair else []
    physician = Doctor(
        workspace=app.workspace,
        runner=app.runner,
        accelerator=lambda refresh: str(
            choose_accelerator(app.workspace, app.runner, app.clock, refresh=refresh)
        ),
        firmware=find_firmware,
        llvms=lambda: {llvm.major: llvm.bindir for llvm in installed_llvms()},
        backends=find_about_backends,
    )
    findings = [*physician.examine(refresh=repair), source_finding(app.source(None), app.runner)]
    findings += _machine_findings(app, vm) if vm else []
    possible = can_do_main_job(findings)
    _print(app.paper, findings)
    for sentence in repairs or (["there were no leftovers"] if repair else []):
        app.paper.print(f"repair: {sentence}", markup=False)
    app.emit(
        {
            "possible": possible,
            "findings": [asdict(finding) for finding in findings],
            "repairs": repairs,
        }
    )
    return 0 if possible else InfraError.exit_code


def _machine_findings(app: App, vm: str) -> list[HostFinding]:
    """Return the findings on an existing machine.

    Raises:
        UsageError: the file is invalid, or describes no existing machine.
    """
    with given_with("--vm"):
        config = load_vmconfig(vm)
    machine = config.machine
    if machine is None:
        raise UsageError(
            f"--vm {vm}: the file describes a guest, not an existing machine",
            remedy="leave --vm out, or name a file with [command]: vmconfigs/README.md",
        )
    host = BackendHost(app.runner, app.clock, app.workspace, machine=machine)
    return list(find_backend(machine.backend).type.examine(host))


def source_finding(location: str, runner: Runner) -> HostFinding:
    """Return whether the configured source exists: a tree, or a repository that answers.

    FreeBSD's repository, the default, is not needed by users who name a tree.
    """
    if is_url(location):
        needed = location != OFFICIAL_SOURCE
        problem = unreachable(location, runner, _REACH_SECONDS)
        if not problem:
            return good("source", f"{location} (cloned when first needed)", needed=needed)
        return HostFinding("source", False, printable(f"{location}: {problem}"), _REACH, needed)
    if location in NAMED_SOURCES:
        return good("source", "the built-in guest, which is not FreeBSD", needed=False)
    try:
        text = (Path(location).expanduser() / _NEWVERS).read_text("utf-8", "replace")
        return good("source", f"{location}: FreeBSD {parse_release(text)}", needed=False)
    except OSError as error:
        found = f"{location}: {error.strerror} ({_NEWVERS})"
    except HarnessError as error:
        found = f"{location}: {error.message}"
    remedy = "correct HARNESS_SOURCE, or source.tree of the settings"
    return HostFinding("source", False, found, remedy)


def _print(paper: Console, findings: Sequence[HostFinding]) -> None:
    table = Table(box=None, pad_edge=False)
    for heading in ("", "what", "found"):
        table.add_column(heading, overflow="fold")
    for finding in findings:
        table.add_row(_mark(finding), escape(finding.name), escape(_text(finding)))
    paper.print(table)
    for needed, words in ((True, "required"), (False, "everything")):
        packages = missing_packages(findings, needed=needed)
        if packages:
            paper.print(f"{words}: {install(packages)}", markup=False)
    if can_do_main_job(findings):
        paper.print("this host can build, boot and compare FreeBSD kernels")
    else:
        paper.print("this host cannot build, boot and compare FreeBSD kernels")


def _mark(finding: HostFinding) -> str:
    if finding.ok:
        return "[green]ok[/]"
    return "[red]missing[/]" if finding.needed else "[yellow]optional[/]"


def _text(finding: HostFinding) -> str:
    return finding.found if finding.ok else f"{finding.found}\n→ {finding.remedy}"
