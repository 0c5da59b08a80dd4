"""Inputs that no command can use, by command and by file: data for ``test_bad_inputs.py``.

``{name}`` in an argument is a file of the case, or one of ``git`` (a small git tree), ``tree``
(a plain one), ``directory`` (of the case's files), ``kernel`` (a kernel of the built-in guest).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

Content = str | bytes


@dataclass(frozen=True, slots=True)
class Case:
    """A command, and how it is refused.

    Args:
        name: of the case.
        words: the arguments.
        files: written before, by name; names below ``state/`` are the home's own.
        settings: the text of the user's settings.
        code: the exit code.
        error: a part of what is printed.
        stdin: standard input.
    """

    name: str
    words: tuple[str, ...]
    files: Mapping[str, Content] = field(default_factory=dict)
    settings: Content | None = None
    code: int = 2
    error: str = ""
    stdin: bytes = b""


BOOT = ("boot", "--source", "embedded")
COMPARE = ("compare", "--source", "embedded")
CHECK = ("check", "--source", "embedded")
MUTANTS = ("mutants", "--source", "embedded")
BISECT = ("bisect", "--source", "{git}", "--good", "first", "--bad", "main")
EXPLORE = ("model", "explore")
PREDICT = ("model", "predict", "--source", "embedded")
BUILD = ("build", "--source", "{git}")

NO_NUMBERS = ("", "-1", "nan", "x", "1e99", "0x10", "9" * 5000)

NUMBERS: tuple[tuple[tuple[str, ...], str], ...] = (
    *((BOOT, option) for option in ("--memory", "--cpus", "--timeout", "--repeat", "--numa")),
    *((COMPARE, option) for option in ("--memory", "--timeout", "--repeat", "--numa")),
    *((CHECK, option) for option in ("--ops", "--seed", "--numa")),
    *((MUTANTS, option) for option in ("--baseline", "--ops", "--seed", "--numa")),
    *((BISECT, option) for option in ("--confidence", "--repeat", "--numa")),
    *((EXPLORE, option) for option in ("--domains", "--slabs", "--depth")),
    (PREDICT, "--numa"),
    (("gc", "--dry-run"), "--limit"),
)
"""Options that take a number, each with a command that is right but for it."""

NUMBERS_ALL_THE_SAME = {
    ("--timeout", "1e99"), ("--seed", "0x10"), ("--limit", "1e99"),
}  # fmt: skip
"""Those of ``NO_NUMBERS`` that one of the options takes."""


def numbers() -> Iterator[Case]:
    for words, option in NUMBERS:
        for value in NO_NUMBERS:
            if (option, value) not in NUMBERS_ALL_THE_SAME:
                name = f"{words[0]} {option} {value[:8]!r}"
                yield Case(name, (*words, f"{option}={value}"), error=option)


CHOICES = (
    (BOOT, "--backend"), (BOOT, "--boot"), (BOOT, "--accelerator"), (BOOT, "--until"),
    (COMPARE, "--until"), (CHECK, "--backend"), (BISECT, "--with"),
    (("judge", "{log}"), "--until"), (EXPLORE, "--variant"),
)  # fmt: skip


def choices() -> Iterator[Case]:
    for words, option in CHOICES:
        for value in ("", "no-such", "\x1b[31mred"):
            name = f"{words[0]} {option} {value!r}"
            yield Case(name, (*words, option, value), {"log": "x"}, error=option)


TEXTS: Mapping[tuple[tuple[str, ...], str], tuple[str, ...]] = {
    (("boot",), "--source"): (
        "/no/tree", "/etc/passwd", "file:///no/repository", "/\x1b[31m", "ext::sh -c id",
        "https://", "://", "http://x\x1b[31m/y", "ssh://-oProxyCommand=id/x", "git@", "-u",
        "\udcff", "x" * 5000,
    ),
    (BUILD, "--rev"): (
        "-x", "--all", "a..b", "no-such", "HEAD^^^^", "a b", "\x1b[31m", "@{99}", ":/", "x" * 5000,
        "\udcff",
    ),
    (BUILD, "--mutant"): ("", "no-such", "../x", "\x1b[31m", "keg_first_slab.skip-fre"),
    (BUILD, "--option"): ("ddb", "DDB=", "\x1b[31m", "A B", "X" * 5000, "NUMA=n", "KASAN"),
    (BUILD, "--kernconf"): ("../x", "\x1b[31m", "a b", "x" * 5000),
    (BOOT, "--vm"): ("", "no-such", "../numa2", "/no.toml", "/tmp/.toml", "\x1b[31m", "x" * 5000),
    (BOOT, "--tunable"): ("", "=", "a", "=b", "a b=c", "a=$(b)", "a=\n", "a=\x1b[31m", "\udcff=1"),
    (BOOT, "--kernel"): ("/no/kernel", "/tmp", "/etc/passwd", "/dev/null", "/proc/self/mem"),
    (BOOT, "--rev"): ("main",),
    (BOOT, "--patch"): ("/no.patch",),
    (COMPARE, "--expect"): ("", "x", "before", "before=x", "9:before=panic", "before=panic,", "=",
                            "\x1b[31m=x", "1-:before=panic"),
    (COMPARE, "--commit"): ("main",),
    (CHECK, "--spec"): ("", "no-such", "\x1b[31m"),
    (CHECK, "--on"): ("", "no-such", "\x1b[31m", "host"),
    (CHECK, "--replay"): ("/no.trace", "/tmp"),
    (("bisect", "--source", "{git}", "--bad", "main"), "--good"): ("", "no-such", "-x", "main"),
    (("bisect", "--source", "{git}", "--good", "first"), "--bad"): ("no-such", "first"),
    (BISECT, "--import"): ("/no.log", "/tmp"),
    (("report",), "--"): ("", ".", "..", "/", "a/b", "no-such", "\x1b[31m", "x" * 5000, "\udcff"),
    (("runs", "retry"), "--"): ("", "..", "no-such", "\x1b[31m", "x" * 5000),
    (("runs", "list"), "--last"): ("", "0", "x", "1e9"),
    (("console",), "--"): ("", "..", "/etc", "no-such", "\x1b[31m", "x" * 5000),
    (("stop",), "--"): ("", "..", "no-such", "\x1b[31m"),
    (("judge",), "--"): ("", "/no.log", "\x1b[31m", "x" * 5000, "/tmp", "\udcff"),
    (("judge", "{log}"), "--kernel"): ("/no/kernel", "/etc/passwd", "/dev/null", "/tmp"),
    (("image", "import", "--source", "embedded"), "--"): (
        "", "/no/image", "/tmp", "/dev/null", "/etc/passwd", "ftp://x/y", "https://", "https://[",
        "http://127.0.0.1:1/x", "\x1b[31m", "x" * 5000, "\udcff",
    ),
    (("image", "import", "--source", "embedded", "/etc/passwd"), "--sha256"): ("", "x", "0" * 63),
    (("kyua", "--source", "{git}", "sys/vm"), "--module"): ("", "..", "a b", "/x", "\x1b[31m"),
    (("image", "rm"), "--"): ("", "no-such", "..", "\x1b[31m"),
    (("model", "trace"), "--"): ("", "/no.trace", "/tmp", "/proc/self/mem"),
    (("model", "trace", "{trace}"), "--variant"): ("", "no-such", "\x1b[31m"),
    (("gc", "--dry-run"), "--limit"): ("G", "1X", "-1G", "1.5.5G", "\x1b[31m"),
}  # fmt: skip


def texts() -> Iterator[Case]:
    files = {"log": "x", "trace": TRACE}
    for (words, option), values in TEXTS.items():
        for value in values:
            name = f"{' '.join(words[:2])} {option} {value[:20]!r}"
            error = "" if option == "--" else option  # what was given is named
            yield Case(name, (*words, option, value), files, error=error)


TRACE = "variant 13-after\nzone domains=2 ipers=42 reserve=2\nprealloc 2\n"

TRACES: Mapping[str, Content] = {
    "nothing": "",
    "no text": b"\xff\xfe\0\0",
    "words": "Hello, trace!\n",
    "escapes": "\x1b[31mvariant\x1b[0m\n",
    "no zone": "variant 13-after\nalloc cpu=0 M_NOWAIT\n",
    "unknown variant": TRACE.replace("13-after", "99"),
    "no domains": TRACE.replace("domains=2", "domains=0"),
    "many domains": TRACE.replace("domains=2", "domains=999999999"),
    "many items": TRACE.replace("ipers=42", "ipers=999999999999"),
    "negative items": TRACE.replace("ipers=42", "ipers=-1"),
    "an unknown key": TRACE.replace("ipers", "ips"),
    "a key twice": TRACE.replace("reserve=2", "reserve=2 reserve=3"),
    "an unknown verb": TRACE + "munmap 3\n",
    "an unknown flag": TRACE + "alloc cpu=0 M_SOON\n",
    "a CPU of no domain": TRACE + "alloc cpu=7 M_NOWAIT\n",
    "freed before it is there": TRACE + "free 9\n",
    "freed twice": TRACE + "alloc cpu=0 M_NOWAIT\nfree 2\nfree 2\n",
    "freed by a word": TRACE + "free x\n",
    "preallocates more than there is": TRACE + "prealloc 99999999999999999999\n",
    "a domain that is none": TRACE + "refuse 99\n",
    "a line of a megabyte": TRACE + "x" * (1 << 20) + "\n",
    "the zone twice": TRACE + "zone domains=2 ipers=42 reserve=2\n",
}


def traces() -> Iterator[Case]:
    for name, text in TRACES.items():
        yield Case(f"model trace, {name}", ("model", "trace", "{trace}"), {"trace": text})
        yield Case(f"check --replay, {name}", (*CHECK, "--replay", "{trace}"), {"trace": text})


SETTINGS: Mapping[str, Content] = {
    "no TOML": "[boot",
    "no text": b"\xff\xfe",
    "an escape": '[boot]\nmethod = "\\u001b[31m"',
    "nested too deeply": "a = " + "[" * 20000,
    "an unknown table": "[guest]\nnuma = 2",
    "an unknown key": '[boot]\nmethd = "loader"',
    "a table for a value": "[boot.method]\nx = 1",
    "a value for a table": "boot = 1",
    "a number for a path": "[source]\ntree = 3",
    "a list for a path": '[source]\ntree = ["x"]',
    "an unknown backend": '[boot]\nbackend = "bhyve"',
    "an unknown method": '[boot]\nmethod = "pxe"',
    "an unknown accelerator": '[boot]\naccelerator = "hvf"',
    "a date": "[boot]\nmethod = 2020-01-01",
    "a key twice": '[boot]\nmethod = "loader"\nmethod = "direct"',
}


def settings() -> Iterator[Case]:
    for name, text in SETTINGS.items():
        yield Case(f"settings, {name}", ("boot", "--kernel", "{kernel}"), settings=text)
    yield Case("settings, NUL", ("boot",), settings='[source]\ntree = "\\u0000"')
    yield Case("settings, for doctor", ("doctor",), settings="[boot")
    yield Case("settings, for predict", ("model", "predict"), settings="[boot")


GUESTS: Mapping[str, Content] = {
    "no TOML": "[[node",
    "no text": b"\xff\xfe",
    "nothing": "",
    "no nodes": "node = []",
    "a node that is a number": "node = [1]",
    "an unknown key": "[[node]]\ncpu = 1",
    "an unknown key with an escape": '[[node]]\n"\\u001b[31m" = 1',
    "an unknown sanitizer": 'sanitizer = "asan"\n[[node]]',
    "negative memory": "[[node]]\nmemory_mib = -1",
    "memory as a text": '[[node]]\nmemory_mib = "1G"',
    "memory that is infinite": "[[node]]\nmemory_mib = inf",
    "no memory at all": "[[node]]\nmemory_mib = 0",
    "no CPUs": "[[node]]\ncpus = 0",
    "too many CPUs": "[[node]]\ncpus = 999",
    "nine nodes": "[[node]]\n" * 9,
    "distances of another table": "distances = [[10]]\n[[node]]\n[[node]]",
    "distances that are none": "distances = [[10, 1], [1, 10]]\n[[node]]\n[[node]]",
    "distances past a byte": "distances = [[10, 999], [999, 10]]\n[[node]]\n[[node]]",
    "a distance of its own": "distances = [[20, 20], [20, 20]]\n[[node]]\n[[node]]",
    "a description that is a list": "description = []\n[[node]]",
}


def guests() -> Iterator[Case]:
    for name, text in GUESTS.items():
        yield Case(f"--vm, {name}", (*BOOT, "--vm", "{guest.toml}"), {"guest.toml": text})


PATCHES: Mapping[str, Content] = {
    "nothing": "",
    "no patch": "Hello, patch!\n",
    "no text": b"\xff\0\xfe",
    "of a file that is not there": "--- a/no\n+++ b/no\n@@ -1 +1 @@\n-a\n+b\n",
    "of other lines": "--- a/sys/vm/uma_core.c\n+++ b/sys/vm/uma_core.c\n@@ -1 +1 @@\n-a\n+b\n",
    "cut short": "--- a/sys/vm/uma_core.c\n+++ b/sys/vm/uma_core.c\n@@ -1,9 +1,9 @@\n-a\n",
    "upwards": "--- a/../x\n+++ b/../x\n@@ -0,0 +1 @@\n+b\n",
    "absolute": "--- /dev/null\n+++ /etc/x\n@@ -0,0 +1 @@\n+b\n",
    "into git's own": "--- /dev/null\n+++ b/.git/hooks/x\n@@ -0,0 +1 @@\n+b\n",
    "with an escape": "--- a/\x1b[31m\n+++ b/\x1b[31m\n@@ -1 +1 @@\n-a\n+b\n",
}


def patches() -> Iterator[Case]:
    for name, text in PATCHES.items():
        words = (*BUILD, "--patch", "{a.patch}")
        yield Case(f"--patch, {name}", words, {"a.patch": text})


ELF = b"\x7fELF\x02\x01\x01\x09" + bytes(8)

KERNELS: Mapping[str, bytes] = {
    "nothing": b"",
    "no ELF": b"MZ" * 100,
    "an ELF cut in its head": ELF,
    "an ELF of 32 bits": b"\x7fELF\x01" + ELF[5:] + bytes(100),
    "an ELF of zeros": ELF + bytes(4096),
    "an ELF of ones": ELF + b"\xff" * 4096,
    "an ELF of the host": b"",
}


def kernels() -> Iterator[Case]:
    for name, data in KERNELS.items():
        files = {"kernel": data}
        kernel = "/bin/true" if name.endswith("host") else "{kernel}"
        yield Case(f"--kernel, {name}", ("boot", "--kernel", kernel, "--numa", "2"), files)
        words = ("judge", "{log}", "--kernel", kernel)
        if not name.endswith("host"):
            yield Case(f"judge --kernel, {name}", words, {**files, "log": "x"})


LOGS: Mapping[str, bytes] = {
    "nothing": b"",
    "zeros": bytes(100_000),
    "ones": b"\xff" * 100_000,
    "escapes": b"\x1b[31m\x1b]0;title\x07" * 1000,
    "one long line": b"x" * 3_000_000,
    "many lines": b"\n" * 200_000,
    "the loader alone": b"Loading kernel...\n",
    "carriage returns": b"\r" * 100_000,
    "UTF-16": "panic: x".encode("utf-16"),
}

PACKED = {"gzip": b"\x1f\x8b\x08", "xz": b"\xfd7zXZ\0", "zip": b"PK\x03\x04", "bzip2": b"BZh9"}


def logs() -> Iterator[Case]:
    for name, data in LOGS.items():
        yield Case(f"judge, {name}", ("judge", "{log}"), {"log": data}, code=3)
    yield Case("judge, nothing on standard input", ("judge", "-"), code=3)
    yield Case("judge, standard input twice", ("judge", "-", "-"))
    for name, data in PACKED.items():
        yield Case(f"judge, {name}", ("judge", "{log}"), {"log": data}, error="compressed")


RECORD: Mapping[str, Any] = {"schema": 1, "name": "a-run", "exit_code": 0, "cells": []}
CELL = {
    "name": "c", "guest": "g", "nodes": 1, "sanitizer": "none", "backend": "qemu",
    "accelerator": "tcg", "verdict": None, "error": "", "expected": [], "as_expected": True,
    "host_failed": False, "seconds": 1.0, "disagreements": [], "kernel": None,
}  # fmt: skip

RECORDS: Mapping[str, Content] = {
    "nothing": "",
    "no JSON": "{",
    "no text": b"\xff",
    "a list": "[]",
    "a number": "1e999",
    "nested too deeply": "[" * 100_000,
    "an empty object": "{}",
    "another schema": json.dumps({**RECORD, "schema": 2}),
    "a schema that is a list": json.dumps({**RECORD, "schema": [1]}),
    "no cells": json.dumps({key: RECORD[key] for key in ("schema", "name", "exit_code")}),
    "cells that are none": json.dumps({**RECORD, "cells": 3}),
    "a cell that is none": json.dumps({**RECORD, "cells": [3]}),
    "a cell without its verdict": json.dumps(
        {**RECORD, "cells": [{key: each for key, each in CELL.items() if key != "verdict"}]}
    ),
    "a cell that leads elsewhere": json.dumps({**RECORD, "cells": [{**CELL, "name": "../.."}]}),
    "a cell of negative text": json.dumps({**RECORD, "cells": [{**CELL, "seconds": "-1"}]}),
    "an exit code that is none": json.dumps({**RECORD, "exit_code": "0"}),
    "a bisection that is none": json.dumps({**RECORD, "bisect": {"answer": 1}}),
    "mutants that are none": json.dumps({**RECORD, "mutants": [1]}),
    "another name": json.dumps({**RECORD, "name": "../x"}),
}


def records() -> Iterator[Case]:
    for name, text in RECORDS.items():
        file = {"state/harness/runs/a-run/record.json": text}
        yield Case(f"report, {name}", ("report", "a-run"), file)
        yield Case(f"runs retry, {name}", ("runs", "retry", "a-run"), file)
        yield Case(f"report --json, {name}", ("report", "a-run", "--json"), file)
    no_console = {"state/harness/runs/a-run/record.json": json.dumps(RECORD)}
    yield Case("console of a run without one", ("console", "a-run"), no_console)
    yield Case("console of a cell that is a path", ("console", "a-run", "../.."), no_console)


BISECT_LOGS: Mapping[str, Content] = {
    "nothing": "",
    "words": "Hello, log!\n",
    "no start": "git bisect good first\n",
    "an unknown verb": "git bisect start\ngit bisect frob first\n",
    "a revision that is none": "git bisect start\ngit bisect bad no-such\n",
    "a quote that stays open": "git bisect start 'x\n",
    "escapes": "git bisect start\n\x1b[31m\n",
    "another program": "git bisect start\nrm -rf /\n",
    "a line of a megabyte": "git bisect start\n" + "x" * (1 << 20),
}


SKIPS: Mapping[str, Content] = {
    "a revision that is none": "no-such\n",
    "two revisions in a line": "first main\n",
    "a range": "first..main\n",
    "an option": "--all\n",
    "escapes": "\x1b[31m\n",
    "no text": b"\xff\n",
    "an end": "first\n",
    "a line of a megabyte": "x" * (1 << 20),
}


def bisections() -> Iterator[Case]:
    for name, text in SKIPS.items():
        yield Case(f"bisect --skip, {name}", (*BISECT, "--skip", "{skip}"), {"skip": text})
    yield Case("bisect --skip without the file", (*BISECT, "--skip", "{skip}"))
    yield Case("bisect by a part that nothing checks", (*BISECT, "--subsystem", "uma"))
    for name, text in BISECT_LOGS.items():
        yield Case(f"bisect --import, {name}", (*BISECT, "--import", "{log}"), {"log": text})
    base = ("bisect", "--source")
    yield Case("bisect without ends", (*base, "{git}"))
    yield Case("bisect of a plain directory", (*base, "{tree}", "--good", "a", "--bad", "b"))
    yield Case("bisect of the built-in guest", (*base, "embedded", "--good", "a", "--bad", "b"))
    yield Case("bisect by two words", (*BISECT, "--title", "x", "--any-failure"))
    watch = ("check", "--on", "host", "--watch")
    yield Case("watch guests", ("check", "--source", "{tree}", "--watch"), error="--on host")
    yield Case("watch a revision", (*watch, "--source", "{git}", "--rev", "first"),
               error="does not change")  # fmt: skip
    yield Case("watch the built-in guest", (*watch, "--source", "embedded"), error="work tree")
    yield Case("watch with one document", (*watch, "--source", "{git}", "--json"), error="--json")
    generated = ("mutants", "--source", "{git}", "--generated")
    yield Case("a sample of named mutants", ("mutants", "--sample", "3"), error="--generated")
    of_zones = (*generated, "--function", "keg_fetch_slab", "--subsystem", "zones")
    yield Case("mutants of another subsystem", of_zones, error="of uma")
    yield Case("mutants of a function that is not followed", (*generated, "--function", "main"),
               error="no mutants of main()")  # fmt: skip
    measured = ("check", "--source", "{git}", "--coverage", "coverage")
    yield Case("coverage of guests", measured, error="--coverage measures")
    yield Case("coverage of each save", (*measured, "--on", "host", "--watch"), error="--coverage")
    in_file = ("check", "--on", "host", "--source", "{git}", "--coverage", "{log}")
    yield Case("coverage in a file", in_file, {"log": "x"}, error="is a file")
    yield Case("bisect by two judges", (*BISECT, "--with", "check", "--", "true"))
    yield Case("bisect on several guests", (*BISECT, "--numa", "1,2"))
    yield Case("bisect with both sanitizers", (*BISECT, "--kasan", "--kmsan"))


REMEDIES: Mapping[tuple[str, ...], str] = {
    (*BOOT, "--patch", "/no.patch"): "leave --patch out, or name",
    (*BOOT, "--kernconf", "GENERIC"): "leave --kernconf out, or name",
    (*BOOT, "--option", "INVARIANTS=n"): "leave --option out, or name",
    (*BOOT, "--rev", "a", "--kernconf", "GENERIC"): "leave --rev and --kernconf out, or name",
    (*BOOT, "--mutant", "drop-domain-wait"): "it has one: --mutant drop-commit",
    (*BOOT, "--kmsan"): "leave out --kmsan, ",
    (*BOOT, "--numa", "8", "--cpus", "32"): "--cpus 32: 256 CPUs in all nodes together",
    (*BOOT, "--memory", "1"): "give its nodes more with --memory",
    (*BOOT, "--tunable", "a b=c"): "correct --tunable: ",
    (*BOOT, "--tunable", "console=x"): "leave --tunable console out: ",
    (*BOOT, "--junit", "/no/such/report"): "--junit: cannot write /no/such/report",
    (*BOOT, "--out", "/no/such/records"): "--out: cannot create /no/such/records",
    (*BISECT, "--export", "/no/such/log"): "--export: cannot write /no/such/log",
    ("boot", "--kernel", "{kernel}", "--kasan"): "leave out --kasan, ",
    ("compare", "--source", "{git}", "--commit", "no-such"): "--commit: there is no revision",
    ("compare", "--source", "{git}", "--commit", "first"): "--commit: ",
    ("compare", "--source", "{git}", "--before", "no-such", "--after", "first"):
        "--before: there is no revision 'no-such'",
    ("compare", "--source", "{git}", "--before", "first"): "name --before and --after",
    ("bisect", "--source", "{git}", "--good", "main", "--bad", "first"):
        "add --fixed to find what fixed it, or exchange --good and --bad",
    ("boot", "--source", "{git}", "--kernconf", "GENERIC-KMSAN", "--kasan"): "leave out --kasan or",
    ("check", "--source", "{git}", "--mutant", "no-such"): "name one with --mutant",
    ("gc", "--dry-run", "--runs-age", "x"): "--runs-age: 'x' is not an age",
    ("gc", "--dry-run", "--runs-limit", "x"): "--runs-limit: 'x' is not a size",
    (*PREDICT, "--subsystem", "domainset"): "the built-in guest has no subsystem domainset",
    (*PREDICT, "--numa", "99"): "--numa: number of nodes '99'",
    (*PREDICT, "--vm", "no-such"): "--vm: no guest named",
    (*CHECK, "--replay", "{kernel}"): "name a text file with --replay",
}  # fmt: skip
"""What is refused, with what names the option that was given."""


def remedies() -> Iterator[Case]:
    for words, error in REMEDIES.items():
        name = " ".join(word for word in words if word[:1] != "{")
        yield Case(f"remedy of {name}", words, error=error)
    # The source is none of the command's, so none of its options is to blame.
    elsewhere = '[source]\ntree = "/no/tree"\n'
    yield Case("remedy of a setting", ("boot",), settings=elsewhere,
               error="with source.tree of the settings")  # fmt: skip


def combinations() -> Iterator[Case]:
    """Options that are right by themselves."""
    for words in (BOOT, CHECK, MUTANTS, PREDICT, ("build", "--source", "embedded")):
        yield Case(f"{words[0]} with both sanitizers", (*words, "--kasan", "--kmsan"))
    for words in (BOOT, COMPARE, CHECK, PREDICT):
        twice = (*words, "--vm", "numa2", "--numa", "2")
        yield Case(f"{words[0]} with two layouts", twice)
    for option in ("--keep", "--interactive"):
        yield Case(f"boot {option} --repeat", (*BOOT, option, "--repeat", "2"))
    yield Case("boot --interactive without a terminal", (*BOOT, "--interactive"))
    yield Case("boot --interactive --json", (*BOOT, "--interactive", "--json"))
    yield Case("boot on several guests", (*BOOT, "--numa", "1,2"))
    yield Case("check on several guests", (*CHECK, "--numa", "1,2"))
    yield Case("boot of a kernel and a revision", ("boot", "--kernel", "{kernel}", "--rev", "main"),
               error="leave out --kernel, or --rev\n")  # fmt: skip
    yield Case("boot of a kernel and a patch for a configuration",
               ("boot", "--kernel", "{kernel}", "--patch", "/no", "--kernconf", "MINE"),
               error="leave out --kernel, or --patch and --kernconf\n")  # fmt: skip
    yield Case("compare with two pairs",
               ("compare", "--source", "{git}", "--commit", "first", "--mutant", "x"))  # fmt: skip
    yield Case("compare with half a pair", ("compare", "--source", "{git}", "--before", "first"))
    yield Case("compare without a pair", ("compare", "--source", "{git}"))
    yield Case("mutants of a function, not generated", (*MUTANTS, "--function", "keg_fetch_slab"),
               error="add --generated")  # fmt: skip
    yield Case("generated mutants by name", (*MUTANTS, "--generated", "--mutant", "drop-*"),
               error="harness check --mutant NAME#N")  # fmt: skip
    yield Case("generated mutants of no function", ("mutants", "--source", "{git}", "--generated",
               "--function", "no_such"), error="no mutants of no_such() are generated")  # fmt: skip
    yield Case("generated mutants of the built-in guest", (*MUTANTS, "--generated"),
               error="not compiled as a host program")  # fmt: skip
    yield Case("a mutant that is not generated", ("boot", "--source", "{git}", "--mutant", "f#1"),
               error="no mutants of f() are generated")  # fmt: skip
    yield Case("mutants without init", (*MUTANTS, "--until", "mountroot"))
    yield Case("stop of one and all", ("stop", "x", "--all"))
    yield Case("console that is typed at and printed", ("console", "--interactive", "--json"))


def command_lines() -> Iterator[Case]:
    commands = (
        "doctor", "build", "boot", "compare", "mutants", "bisect", "check", "judge", "report",
        "console", "runs list", "runs retry", "ps", "stop", "gc", "man", "cases",
    )  # fmt: skip
    for command in (*commands, "model predict", "model trace", "model explore"):
        words = tuple(command.split())
        yield Case(f"{command}, an unknown option", (*words, "--no-such"), error="no such option")
        yield Case(f"{command}, --out that is a file", (*words, "--out", "/etc/passwd"))
        yield Case(f"{command}, --out that is empty", (*words, "--out", ""))
    yield Case("an unknown command", ("bot",), error="boot")
    yield Case("an unknown command with an escape", ("\x1b[31m",))
    yield Case("an unknown command that is no text", ("\udcff",))
    yield Case("an option before the command", ("--json", "ps"))
    yield Case("an option without its value", ("boot", "--numa"))
    yield Case("an argument too many", ("ps", "x"))


def all_cases() -> list[Case]:
    """Every case, each under a name of its own."""
    makers = (
        numbers, choices, texts, traces, settings, guests, patches, kernels, logs, records,
        bisections, remedies, combinations, command_lines,
    )  # fmt: skip
    return [case for make in makers for case in make()]
