"""A program in QEMU's place: the real one, with a fault of the host.

The fault strikes guests only (those with a serial port), once the guest has written a number of
bytes to its console: a place in the boot that does not depend on how fast the host is.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from command import REAL_QEMU


@dataclass(frozen=True, slots=True)
class Fault:
    """What the program does otherwise than QEMU.

    Args:
        action: what happens after so many bytes of the console: ``stop`` (SIGSTOP), ``pause``
            (SIGSTOP, and SIGCONT two seconds later), ``kill``, ``crash`` (SIGSEGV), ``halt`` and
            ``quit`` (QMP's ``stop`` and ``quit``), ``starve`` (it runs for a hundredth of the
            time), ``close`` (the console), ``mute`` (nothing more reaches the console),
            ``garble`` (each digit that follows is another).
        after: bytes of the guest's console; negative for its end.
        words: printed on standard error then.
        delay: seconds before QEMU is started.
        status: exit at once with this status, and ``words``; negative for no such exit.
        edits: pairs of a text in QEMU's arguments and what takes its place.
        kernel: a file that QEMU starts in the place of the kernel.
        exchange: a file whose content is put into the kernel's file before QEMU starts.
        console: a file that is the whole console, in the place of the guest's.
        accelerator: whose guests are struck; empty for all.
        kvm: of KVM, which is really TCG: empty leaves it as it is, ``good``, ``slow``, ``wrong``.
        times: how many guests are struck at most.
    """

    action: str = ""
    after: int = 0
    words: str = ""
    delay: float = 0.0
    status: int = -1
    edits: tuple[tuple[str, str], ...] = ()
    kernel: str = ""
    exchange: str = ""
    console: str = ""
    accelerator: str = ""
    kvm: str = ""
    times: int = 1000


def install(directory: Path, fault: Fault) -> str:
    """Put the program into a directory; gives a PATH in which it comes first."""
    directory.mkdir(parents=True, exist_ok=True)
    program = directory / "qemu-system-x86_64"
    text = _PROGRAM.replace("%PYTHON%", sys.executable).replace("%REAL%", REAL_QEMU)
    program.write_text(text.replace("%FAULT%", repr(json.dumps(asdict(fault)))))
    program.chmod(0o755)
    return f"{directory}{os.pathsep}{os.environ['PATH']}"


_PROGRAM = r"""#!%PYTHON% -IS
import ctypes, json, os, re, select, shutil, signal, socket, sys, time

REAL, FAULT = "%REAL%", json.loads(%FAULT%)
PR_SET_PDEATHSIG = 1


def main(words):
    accelerator = next((b for a, b in zip(words, words[1:]) if a == "-accel"), "").split(",")[0]
    if FAULT["kvm"]:
        probe(words, accelerator)
        words = [{"kvm": "tcg,thread=multi", "host": "max"}.get(word, word) for word in words]
    sockets = {name: descriptor_of(words, name) for name in ("serial0", "control")}
    struck = FAULT["accelerator"] in ("", accelerator)
    if sockets["serial0"] is None or not (FAULT["kvm"] or struck and counted()):
        os.execv(REAL, [REAL, *words])
    if struck:
        words = changed(words)
    # The harness knows QEMU's process by who writes: only KVM's answers need a relay.
    if not FAULT["kvm"]:
        del sockets["control"]
    guests, theirs = {}, []
    for name, number in sockets.items():
        guests[name], end = inherited_pair(theirs)
        words = [word.replace(f"id={name},fd={number}", f"id={name},fd={end}") for word in words]
    monitor, end = inherited_pair(theirs)
    words += ["-chardev", f"socket,id=fault,fd={end}", "-mon", "chardev=fault,mode=control"]
    harness = {name: socket.socket(fileno=number) for name, number in sockets.items()}
    # The process that the harness waits for ends last where QEMU's last words are relayed.
    first, second = os.getpid(), os.fork()
    qemu = second if FAULT["kvm"] else first
    if bool(second) == bool(FAULT["kvm"]):
        for end in theirs:
            end.close()
        Relay(guests, harness, qemu, struck, accelerator, monitor).run()
        if FAULT["kvm"]:
            end_like(qemu)
        os._exit(0)
    if FAULT["kvm"]:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    for end in harness.values():
        end.close()
    os.execv(REAL, [REAL, *words])


def end_like(child):
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status < 0:
        os.kill(os.getpid(), -status)
    os._exit(status)


def descriptor_of(words, name):
    start = f"socket,id={name},fd="
    return next((int(word[len(start):]) for word in words if word.startswith(start)), None)


def inherited_pair(theirs):
    "Our end of two sockets, and the number of the other, which QEMU inherits."
    ours, end = socket.socketpair()
    end.set_inheritable(True)
    theirs.append(end)
    return ours, end.fileno()


def probe(words, accelerator):
    "What measures the accelerators, answered without a guest."
    if "-debugcon" not in words:
        return
    kvm = accelerator == "kvm"
    print("<", end="", flush=True)
    if kvm and FAULT["kvm"] == "wrong":
        print("mpR", end="", flush=True)
    if kvm and FAULT["kvm"] != "good":
        time.sleep(1000)
    time.sleep(0 if kvm else 0.3)
    print("mprcsfito>", end="", flush=True)
    sys.exit(0)


def counted():
    "Whether this guest is one of those that are struck."
    with open(sys.argv[0] + ".guests", "a") as file:
        file.write(".")
        return file.tell() <= FAULT["times"]


def changed(words):
    time.sleep(FAULT["delay"])
    if FAULT["status"] >= 0:
        print(FAULT["words"], file=sys.stderr)
        sys.exit(FAULT["status"])
    kernel = words.index("-kernel") + 1
    if FAULT["exchange"]:
        shutil.copyfile(FAULT["exchange"], words[kernel] + "~")
        os.replace(words[kernel] + "~", words[kernel])
    if FAULT["kernel"]:
        words[kernel] = FAULT["kernel"]
    for old, new in FAULT["edits"]:
        words = [word.replace(old, new) for word in words]
    return words


class Relay:
    def __init__(self, guests, harness, qemu, struck, accelerator, monitor):
        self.qemu, self.accelerator, self.monitor = qemu, accelerator, monitor
        self.left = FAULT["after"] if struck else None
        self.lost = False
        self.pairs = {}
        for name, guest in guests.items():
            self.pairs[guest] = (name, harness[name], True)
            self.pairs[harness[name]] = (name, guest, False)

    def run(self):
        if FAULT["console"] and self.left is not None:
            self.console().sendall(open(FAULT["console"], "rb").read())
            self.lost = True
        while self.pairs:
            for source in select.select(list(self.pairs), [], [])[0]:
                if source in self.pairs:
                    self.carry(source)

    def carry(self, source):
        name, target, of_guest = self.pairs[source]
        try:
            data = source.recv(65536)
        except OSError:
            data = b""
        if of_guest and name == "serial0":
            data = self.console_data(data)
        if of_guest and name == "control" and self.accelerator == "kvm":
            data = data.replace(b'"enabled": false', b'"enabled": true')
        try:
            target.sendall(data or b"")
        except OSError:
            pass
        if data == b"":
            target.close()
            source.close()
            self.pairs = {one: pair for one, pair in self.pairs.items()
                          if one not in (source, target)}

    def console_data(self, data):
        "What reaches the harness; None for nothing at the moment, empty for the end."
        if data and self.left is not None and 0 <= self.left <= len(data):
            self.console().sendall(data[:self.left])
            data, self.left = data[self.left:], None
            self.strike()
            if FAULT["action"] == "close":
                return b""
            self.lost = self.lost or FAULT["action"] in ("mute", "garble")
            data = data or None
        elif data and self.left is not None:
            self.left -= len(data)
        elif not data and self.left is not None and self.left < 0:
            self.strike()
        if data and self.lost:
            return garbled(data) if FAULT["action"] == "garble" else None
        return data

    def console(self):
        return next(target for name, target, of_guest in self.pairs.values()
                    if name == "serial0" and of_guest)

    def strike(self):
        if FAULT["words"]:
            print(FAULT["words"], file=sys.stderr, flush=True)
        action = FAULT["action"]
        if action in SIGNALS:
            os.kill(self.qemu, SIGNALS[action])
        elif action == "pause":
            os.kill(self.qemu, signal.SIGSTOP)
            time.sleep(2)
            os.kill(self.qemu, signal.SIGCONT)
        elif action in COMMANDS:
            self.command(COMMANDS[action])
        elif action == "starve" and os.fork() == 0:
            while True:
                os.kill(self.qemu, signal.SIGSTOP)
                time.sleep(0.099)
                os.kill(self.qemu, signal.SIGCONT)
                time.sleep(0.001)

    def command(self, command):
        for word in ("qmp_capabilities", command):
            self.monitor.recv(65536)
            self.monitor.sendall(b'{"execute":"%s"}' % word.encode())
        self.monitor.recv(65536)


def garbled(data):
    return re.sub(rb"[0-9]", lambda found: b"%d" % (9 - int(found.group())), data)


SIGNALS = {"stop": signal.SIGSTOP, "kill": signal.SIGKILL, "crash": signal.SIGSEGV}
COMMANDS = {"halt": "stop", "quit": "quit"}

main(sys.argv[1:])
"""
