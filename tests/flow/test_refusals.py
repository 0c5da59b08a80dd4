"""Bad input: what is said of it, and by which exit code; never a traceback.

Every refusal is one sentence with the input and the cause, and below it what to do.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from command import Home, Said, script
from inprocess import call
from small_tree import commit, git_tree, plain_tree

from harness.host.process import HostRunner

BOOT = ("boot", "--source", "embedded")
COMPARE = ("compare", "--source", "embedded")


def refused(said: Said, code: int, message: str, remedy: str = "") -> None:
    """Whether that is all that was said, and the exit code."""
    assert "Traceback" not in said.stderr
    assert said.error.startswith(f"harness: {message}"), said.stderr
    assert remedy in said.error.partition("\n")[2]
    assert said.code == code
    assert said.stdout == ""


ARGUMENTS = {
    "no such tree": (
        ("boot", "--source", "/no/tree"),
        "the source tree /no/tree is not a directory",
        "name a FreeBSD source tree, a git URL, or 'embedded' with --source",
    ),
    "no such repository": (
        ("boot", "--source", "file:///no/repository"),
        "there is no git repository at file:///no/repository",
        "check --source: git ls-remote file:///no/repository",
    ),
    "a revision of the built-in guest": (
        (*BOOT, "--rev", "main"),
        "the built-in guest has no revisions, patches, configurations or kernel options",
        "leave --rev out, or name a FreeBSD tree with --source",
    ),
    "a mutant that the built-in guest lacks": (
        (*BOOT, "--mutant", "drop-domain-wait"),
        "the built-in guest has no mutant 'drop-domain-wait'",
        "it has one: --mutant drop-commit",
    ),
    "mutants that the built-in guest lacks": (
        ("mutants", "--source", "embedded", "--mutant", "keg_first_slab.skip-free"),
        "the built-in guest has no mutant 'keg_first_slab.skip-free'",
        "it has one: --mutant drop-commit",
    ),
    "a mutant that is none": (
        ("mutants", "--source", "/no/tree", "--mutant", "keg_first_slab.skip-fre"),
        "there is no mutant keg_first_slab.skip-fre",
        "did you mean --mutant keg_first_slab.skip-free?",
    ),
    "mutants that do not come to init": (
        ("mutants", "--source", "embedded", "--until", "mountroot"),
        "the counters come from the guest's init, which --until would not reach",
        "leave --until out",
    ),
    "a sanitizer that the built-in guest lacks": (
        (*BOOT, "--kmsan"),
        "the built-in guest does not support KMSAN",
        "leave out --kmsan, ",
    ),
    "both sanitizers": (
        (*BOOT, "--kasan", "--kmsan"),
        "KASAN and KMSAN exclude each other in a kernel",
        "or compare several: harness compare",
    ),
    "more nodes than the kernel takes": (
        (*BOOT, "--numa", "9"),
        "--numa: number of nodes '9': FreeBSD/amd64 supports at most 8 memory domains",
        "give numbers from 1 to 8",
    ),
    "no nodes": (
        (*BOOT, "--numa", "0"),
        "--numa: number of nodes '0': a guest has at least one node",
        "give numbers from 1 to 8",
    ),
    "a number that is none": (
        (*BOOT, "--numa", "four"),
        "--numa: number of nodes 'four': 'four' is neither a number nor a range",
        "give numbers from 1 to 8",
    ),
    "several guests to boot": (
        (*BOOT, "--numa", "1,2"),
        "--numa 1,2 names several guests, and boot boots one",
        "harness compare takes several",
    ),
    "more CPUs than a guest can have": (
        (*BOOT, "--numa", "8", "--cpus", "32"),
        "--cpus 32: 256 CPUs in all nodes together",
        "give a guest 1 to 255 CPUs",
    ),
    "a tunable without a value": (
        (*BOOT, "--tunable", "vm.pmap.pti"),
        "the tunable 'vm.pmap.pti' does not have the form NAME=VALUE",
        "such as --tunable vm.pmap.pti=0",
    ),
    "a tunable's bad name": (
        (*BOOT, "--tunable", "vm pmap=0"),
        "'vm pmap' is not the name of a tunable",
        "correct --tunable: letters, digits, dots",
    ),
    "a tunable's bad value": (
        (*BOOT, "--tunable", "x=$(reboot)"),
        "the loader cannot set the tunable x to '$(reboot)'",
        "printable ASCII characters, without quotes, backslash or dollar sign",
    ),
    "a tunable with a space, without a loader": (
        (*BOOT, "--tunable", "x=1 y=2"),
        "the tunable x cannot have the value '1 y=2': a kernel that QEMU starts accepts no spaces",
        "use a value without spaces",
    ),
    "no such kernel": (
        ("boot", "--kernel", "/no/kernel"),
        "/no/kernel is not a FreeBSD kernel: No such file or directory",
        "pass a FreeBSD/amd64 kernel, such as --kernel /boot/kernel/kernel",
    ),
    "a kernel that is text": (
        ("boot", "--kernel", "/etc/passwd"),
        "/etc/passwd is not a FreeBSD kernel: it is not an ELF file",
        "pass a FreeBSD/amd64 kernel, such as --kernel /boot/kernel/kernel",
    ),
    "a guest's name that is nearly one": (
        (*BOOT, "--vm", "numa4-kasn"),
        "--vm: no guest named 'numa4-kasn'",
        "did you mean numa4-kasan?",
    ),
    "no such guest's file": (
        (*BOOT, "--vm", "/no/guest.toml"),
        "--vm: /no/guest.toml: cannot be read: No such file or directory",
        "give a readable TOML file",
    ),
    "a layout twice": (
        (*BOOT, "--vm", "numa4", "--numa", "2"),
        "--numa and --vm both give the guest's layout",
        "name one of them",
    ),
    "an outcome that is nearly one": (
        (*COMPARE, "--expect", "before=panik"),
        "--expect before=panik: 'before=panik' is not SIDE=OUTCOME",
        "did you mean panic?",
    ),
    "an expectation without a side": (
        (*COMPARE, "--expect", "panic"),
        "--expect panic: 'panic' is not SIDE=OUTCOME",
        "sides: before, after; outcomes: booted, panic",
    ),
    "an expectation of nine nodes": (
        (*COMPARE, "--expect", "9:before=panic"),
        "--expect 9:before=panic: number of nodes '9': FreeBSD/amd64 supports at most 8 memory ",
        "give numbers from 1 to 8",
    ),
    "a pair for the built-in guest": (
        (*COMPARE, "--mutant", "drop-commit"),
        "the built-in guest has only one pair, so --mutant has no effect",
        "name a FreeBSD tree with --source",
    ),
    "no such run": (
        ("report", "yesterday"),
        "there is no run 'yesterday' in ",
        "the newest runs: ",
    ),
    "a run that is a path": (("report", "../runs"), "there is no run '../runs' in ", "runs: "),
    "a size that is none": (
        ("gc", "--limit", "much"),
        "--limit: 'much' is not a size",
        "write it as 500M, 20G or 1.5T",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", ARGUMENTS.values(), ids=ARGUMENTS.keys())
def test_arguments(shared_home: Home, case: tuple[tuple[str, ...], str, str]) -> None:
    words, message, remedy = case
    before = shared_home.leftovers()
    refused(call(shared_home, *words), 2, message, remedy)
    assert shared_home.leftovers() == before


USAGE = {
    "no such command": ((("bot",)), "no such command 'bot'"),
    "no such option": (("boot", "--nmua", "4"), "no such option"),
    "no such backend": ((*BOOT, "--backend", "bhyve"), "'bhyve' is not one of 'qemu'"),
    "a repetition of nothing": ((*BOOT, "--repeat", "0"), "0 is not in the range 1<=x<=1000"),
    "memory that is no number": ((*BOOT, "--memory", "1G"), "'1G' is not a valid integer range"),
    "a directory as a kernel": (("boot", "--kernel", "/tmp"), "File '/tmp' is a directory"),
}  # fmt: skip


@pytest.mark.parametrize("case", USAGE.values(), ids=USAGE.keys())
def test_command_line(shared_home: Home, case: tuple[tuple[str, ...], str]) -> None:
    words, message = case
    said = call(shared_home, *words)
    assert said.code == 2
    assert said.stderr.startswith("harness: ")
    assert message in said.stderr.splitlines()[0]
    assert said.stderr.splitlines()[-1].startswith("  see harness")


TREES = {
    "no tree": ("plain", (), "{tree} is not a FreeBSD source tree: it has no sys/conf/newvers.sh"),
    "a clone": ("clone", (), "{tree} is not a FreeBSD source tree: it has no sys/conf/newvers.sh"),
    "a clone without commits": ("empty", (), "there is no revision 'HEAD' in {tree}/.git"),
    "a revision of a plain directory": (
        "tree", ("--rev", "main"),
        "--rev: there is no revision 'main' in {tree}: it is not a git clone"),
    "an unknown revision": (
        "git", ("--rev", "releng/99"), "--rev: there is no revision 'releng/99' in {tree}/.git"),
    "a revision that is an option": (
        "git", ("--rev", "--all"), "--rev: there is no revision '--all' in {tree}/.git"),
    "a patch that is not there": (
        "git", ("--patch", "/no/patch"), "cannot read the patch /no/patch: No such file"),
    "a patch that does not apply": (
        "git", ("--patch", "{patch}"), "the patch {patch} does not apply to {tree}"),
    "a patch that is none": (
        "git", ("--patch", "/etc/passwd"), "the patch /etc/passwd does not apply to {tree}"),
    "an unknown mutant": (
        "git", ("--mutant", "drop-comit"), "there is no mutant drop-comit"),
    "a mutant of a tree without its function": (
        "git", ("--mutant", "drop-commit"),
        "mutant drop-commit does not apply to keg_fetch_slab() in sys/vm/uma_core.c: "),
    "a configuration that is no name": (
        "git", ("--kernconf", "conf/MINE"),
        "the kernel configuration 'conf/MINE' is neither a file nor a name"),
    "a release before 13": (
        "old", (), "the tree is FreeBSD 12.4-STABLE; releases before 13 cannot be built"),
    "a tree without its release": (
        "odd", (), "sys/conf/newvers.sh has no REVISION or BRANCH"),
}  # fmt: skip

PATCH = """\
--- a/sys/vm/uma_core.c
+++ b/sys/vm/uma_core.c
@@ -1,2 +1,2 @@
 /* Another file altogether. */
-int other;
+int changed;
"""


@pytest.fixture(scope="module")
def trees(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("trees")
    plain_tree(directory / "tree")
    git_tree(directory / "git")
    git_tree(directory / "old", newvers='REVISION="12.4"\nBRANCH="STABLE"\n')
    plain_tree(directory / "odd", newvers="# empty\n")
    (directory / "plain").mkdir()
    clone = git_tree(directory / "clone")
    shutil.rmtree(clone / "sys")
    commit(clone, "second")
    HostRunner().run(["git", "init", "--quiet", directory / "empty"])
    (directory / "a.patch").write_text(PATCH)
    return directory


@pytest.mark.parametrize("case", TREES.values(), ids=TREES.keys())
def test_source(shared_home: Home, trees: Path, case: tuple[str, tuple[str, ...], str]) -> None:
    name, words, message = case
    values = {"tree": str(trees / name), "patch": str(trees / "a.patch")}
    filled = [word.format(**values) for word in words]
    said = shared_home.run("build", "--source", trees / name, *filled)
    refused(said, 2, message.format(**values))
    assert "\n  " in said.error, "a remedy"
    assert said.stderr.startswith("build: failed")


def test_first_commit_has_nothing_before_it(shared_home: Home, trees: Path) -> None:
    said = shared_home.run("compare", "--source", trees / "git", "--commit", "first")
    refused(said, 2, "--commit: ")
    assert " has no parent\n" in said.error


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "a comparison needs one pair of kernels, and nothing was given"),
        (("--before", "first"), "only one of --before and --after was given"),
        (("--commit", "first", "--mutant", "drop-commit"),
         "a comparison needs one pair of kernels, and --commit and --mutant was given"),
    ],
)  # fmt: skip
def test_pair(shared_home: Home, trees: Path, words: tuple[str, ...], message: str) -> None:
    refused(shared_home.run("compare", "--source", trees / "git", *words), 2, message)


def test_make_that_does_not_build_is_the_revisions_fault(shared_home: Home, trees: Path) -> None:
    said = shared_home.run("build", "--source", trees / "git")
    refused(said, 4, "the tree's make (contrib/bmake) does not build on this host")
    assert "  | configure: this tree has no make" in said.error


SETTINGS = {
    "no TOML": ("[boot", "{file} is not TOML: Expected ']'"),
    "no text": (b"\xff\xfe", "cannot read {file}: 'utf-8' codec can't decode"),
    "an unknown table": ("[guest]\nnuma = 2", "{file}: there is no setting guest"),
    "a misspelt key": ('[source]\ntre = "x"', "{file}: there is no setting source.tre"),
    "a number for a path": ("[source]\ntree = 3", "{file}: source.tree: expected `str`, got `int`"),
    "an unknown backend": (
        '[boot]\nbackend = "bhyve"', "{file}: boot.backend: it must be 'command' or "),
    "an unknown way to boot": (
        '[boot]\nmethod = "pxe"', "{file}: boot.method: it must be 'direct' or 'loader'"),
}  # fmt: skip


@pytest.mark.parametrize("case", SETTINGS.values(), ids=SETTINGS.keys())
def test_settings(home: Home, case: tuple[str | bytes, str]) -> None:
    text, message = case
    home.configure(text)
    file = home.directory / "config" / "harness" / "config.toml"
    refused(call(home, "boot"), 2, message.format(file=file))


def test_misspelt_setting_is_told_the_nearest(home: Home) -> None:
    home.configure('[source]\ntre = "x"')
    assert "\n  did you mean source.tree?\n" in call(home, "boot").error


GUESTS = {
    "no TOML": ("[[node", "not TOML"),
    "no nodes": ("", "node is missing"),
    "a misspelt key": ("[[node]]\ncpu = 1", "unknown key node[0].cpu"),
    "negative memory": ("[[node]]\nmemory_mib = -1", "node[0].memory_mib = -1"),
    "no CPUs": ("[[node]]\ncpus = 0", "0 CPUs in all nodes together"),
    "nine nodes": ("[[node]]\n" * 9, "9 nodes: FreeBSD/amd64 supports at most 8 memory domains"),
    "distances of another table": (
        "distances = [[10]]\n[[node]]\n[[node]]", "the distances are not a table of 2 rows"),
}  # fmt: skip


@pytest.mark.parametrize("case", GUESTS.values(), ids=GUESTS.keys())
def test_file_of_a_guest(shared_home: Home, tmp_path: Path, case: tuple[str, str]) -> None:
    text, message = case
    file = tmp_path / "guest.toml"
    file.write_text(text)
    refused(call(shared_home, *BOOT, "--vm", file), 2, f"--vm: {file}: {message}")


def test_unknown_cell_is_told_the_known_ones(shared_home: Home) -> None:
    assert shared_home.run(*BOOT).code == 0
    said = shared_home.run("console", "latest", "before-kasan-numa4")
    assert said.code == 2
    assert " has no cell 'before-kasan-numa4'\n  name one of: none-numa1\n" in said.error


@pytest.mark.parametrize(
    ("text", "message"),
    [("{", "is damaged"), ("{}", "has a schema that this version of the harness cannot read")],
)
def test_record_that_cannot_be_read(shared_home: Home, text: str, message: str) -> None:
    run = shared_home.runs / "a-run"
    run.mkdir(parents=True, exist_ok=True)
    (run / "record.json").write_text(text)
    refused(call(shared_home, "report", "a-run"), 2, f"{run}/record.json {message}")
    shutil.rmtree(run)


# What the host lacks: exit code 3, and in a run's table where a run has begun.


def test_memory_the_host_does_not_have(shared_home: Home) -> None:
    said = shared_home.run(*BOOT, "--numa", "2", "--memory", "100000000")
    assert said.code == 3
    assert (
        "guest none-numa2 needs more memory than the host has: 200000256 MiB "
        "(200000000 MiB in 2 nodes and 256 MiB for QEMU)" in said.stderr
    )
    assert (
        "give the nodes less memory (--memory, or the file of --vm), use fewer nodes" in said.stdout
    )


@pytest.mark.parametrize("words", [(), ("--accelerator", "tcg")], ids=["proven", "asked for"])
def test_missing_qemu(shared_home: Home, tmp_path: Path, words: tuple[str, ...]) -> None:
    for program in ("git", "sh"):
        (tmp_path / program).symlink_to(str(shutil.which(program)))
    said = shared_home.run(*BOOT, *words, PATH=str(tmp_path))
    assert said.code == 3
    told = said.stdout + said.error
    assert "the program qemu-system-x86_64 is not installed" in told
    assert "install it: apt-get install qemu-system-x86" in told
    assert "Traceback" not in told


def test_qemu_that_does_not_start(shared_home: Home, tmp_path: Path) -> None:
    path = script(tmp_path / "bin", "qemu-system-x86_64", "echo broken library >&2; exit 7")
    said = shared_home.run(*BOOT, "--accelerator", "tcg", PATH=path)
    assert said.code == 3
    assert "QEMU ended with exit status 7 before guest none-numa1 started" in said.stderr
    assert "broken library" in said.stdout


@pytest.mark.skipif(os.geteuid() != 0, reason="hiding the host's compilers takes root")
@pytest.mark.parametrize("source", ["embedded", "tree"])
def test_missing_compiler(shared_home: Home, trees: Path, tmp_path: Path, source: str) -> None:
    """Within a mount namespace in which the compilers' directories are empty."""
    for program in ("git", "sh", "qemu-system-x86_64"):
        (tmp_path / program).symlink_to(str(shutil.which(program)))
    directories = [str(directory) for directory in Path("/usr/lib").glob("llvm-*")]
    hide = "".join(f"mount -t tmpfs none {directory}; " for directory in directories)
    where = "embedded" if source == "embedded" else str(trees / "git")
    finished = HostRunner().run(
        ["unshare", "--mount", "sh", "-c",
         f'{hide} PATH="{tmp_path}" exec {script_of_harness()} boot --accelerator tcg '
         f'--source {where}'],
        env=shared_home.env, check=False,
    )  # fmt: skip
    assert finished.returncode == 3
    assert "install" in finished.text
    assert "clang" in finished.text
    assert b"Traceback" not in finished.stderr


def script_of_harness() -> str:
    """The installed program: it names its Python by path."""
    found = shutil.which("harness")
    assert found, "the harness is not installed"
    return found


def test_dead_libvirtd(shared_home: Home) -> None:
    pytest.importorskip("libvirt")
    uri = "qemu+unix:///system?socket=/nonexistent"
    said = shared_home.run(*BOOT, "--backend", "libvirt", "--libvirt-uri", uri)
    assert said.code == 3
    assert f"cannot connect to libvirt at {uri}: " in said.stderr
    assert "check that a libvirtd runs there and permits access" in said.stdout
    assert "Traceback" not in said.stderr


def test_git_bisect_is_told_to_stop(shared_home: Home) -> None:
    """128 and above: neither good nor bad, nor to be skipped."""
    assert shared_home.run(*BOOT, "--git-bisect", "--numa", "9").code == 128
    assert shared_home.run(*BOOT, "--git-bisect", "--nmua", "9").code == 128
    assert shared_home.run(*BOOT, "--git-bisect", "--memory", "100000000").code == 128


def test_git_bisect_skips_what_does_not_build(shared_home: Home, trees: Path) -> None:
    said = shared_home.run("boot", "--source", trees / "git", "--git-bisect")
    assert said.code == 125
