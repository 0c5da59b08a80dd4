"""``harness kyua``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.cli.copies import copies_in, put_option
from harness.cli.options import (
    NamedPath,
    change_options,
    common_options,
    guest_options,
    guest_request,
    junit_option,
    kernel_option,
    module_option,
    named_kernel,
    source_options,
    with_modules,
)
from harness.cli.publish import publish_run
from harness.cli.sanitizers import AskedSanitizers, sanitizer_options
from harness.cli.view import UserView
from harness.errors import UsageError
from harness.runs.kyua import KyuaRequest
from harness.runs.kyua import kyua as run_suites
from harness.source.change import Change

if TYPE_CHECKING:
    from harness.cli.app import App


@click.command()
@source_options
@change_options
@kernel_option
@sanitizer_options
@click.option("--numa", metavar="N", help="Number of NUMA nodes.  [default: 1]")
@guest_options
@click.option("--jobs", type=click.IntRange(1, 64), default=1, metavar="N", show_default=True,
              help="Guests at once.")  # fmt: skip
@module_option
@put_option
@click.option("--issues", type=NamedPath(path_type=Path, exists=True, dir_okay=False),
              metavar="FILE", help="Known failures: the format of a nightly plan's issues.toml.",
              )  # fmt: skip
@junit_option
@click.argument("suites", nargs=-1, required=True, metavar="SUITE...")
@common_options
def kyua(
    app: App,
    source: str | None,
    kernconf: str | None,
    kernel: Path | None,
    numa: str | None,
    junit: Path | None,
    asked: AskedSanitizers,
    **options: Any,
) -> int:
    """Run FreeBSD's own test suites in guests, and report each test.

    A SUITE is a directory below /usr/tests. If a test ends its guest, it is named, and the rest
    runs in a fresh guest. A suite that the world lacks is built. A directory that --put copies
    there is a suite, too; without a Kyuafile, each of its programs is a test that passes if its
    exit status is 0. A known failure, whose title is the test's name, is reported and does not
    count.

    \b
    Examples:
      harness kyua --numa 2 --kasan sys/vm
      harness kyua --numa 4 --jobs 2 --junit tests.xml sys/kern sys/posixshm
      harness kyua --numa 2 --put ./stress:/usr/tests/stress stress
      harness kyua --numa 2 --kasan --issues issues.toml sys/kern
    """
    change = Change(options.pop("revision"), options.pop("patch"), options.pop("mutant"))
    what = named_kernel(app, source, kernconf, change, kernel, options.pop("kernel_options"))
    request = KyuaRequest(
        with_modules(what, options.pop("modules")),
        tuple(dict.fromkeys(_suite(name) for name in options.pop("suites"))),
        guest_request(options, numa),
        asked.of_kernel(),
        options.pop("jobs"),
        copies_in(options.pop("put")),
        options.pop("issues"),
    )
    result = run_suites(request, app, UserView(app))
    publish_run(app, result, junit)
    return result.exit_code


def _suite(name: str) -> str:
    """Return a suite's directory below /usr/tests.

    Raises:
        UsageError: it leads elsewhere.
    """
    path = name.removeprefix("/usr/tests/").removeprefix("tests/").strip("/")
    if not path or ".." in path.split("/") or path.startswith(("/", "-")):
        raise UsageError(
            f"{name!r} is not a suite", remedy="name a directory below /usr/tests, such as sys/vm"
        )
    return path
