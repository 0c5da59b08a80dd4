"""Connections that are made and lost at random moments: nothing leaks, nothing hangs."""

from __future__ import annotations

import contextlib
import random
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath

import psutil
import pytest
from leaks import Held, nothing_leaked
from ssh_server import SECONDS, SshServer, ssh_server

from harness.host.clock import HostClock
from harness.shell.shell import OutputSink, ShellError
from harness.shell.ssh.shell import SshShell


class CuttingProxy:
    """Passes bytes between a client and a server until so many have gone through."""

    def __init__(self, server: int, budget: int) -> None:
        self._server = server
        self._budget = budget
        self._lock = threading.Lock()
        self._listener = socket.socket()
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen()
        self.port = self._listener.getsockname()[1]
        self._ends: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            self._ends.append(self._listener.accept()[0])
            self._ends.append(socket.create_connection(("127.0.0.1", self._server)))
            client, server = self._ends
            back = threading.Thread(target=self._pass_on, args=(server, client))
            self._threads.append(back)
            back.start()
            self._pass_on(client, server)

    def _pass_on(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(4096):
                with self._lock:
                    self._budget -= len(data)
                    cut = self._budget < 0
                if cut:
                    break
                target.sendall(data)
        self._shut()

    def _shut(self) -> None:
        for end in self._ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._shut()
        while self._threads:
            self._threads.pop().join(SECONDS)
        self._listener.close()
        for end in self._ends:
            end.close()


class Loser:
    """Makes connections and loses them, as a seed says."""

    def __init__(self, server: SshServer, seed: int, place: Path) -> None:
        self.outcomes: Counter[str] = Counter()
        self.slowest = 0.0
        self._server = server
        self._random = random.Random(seed)
        self._place = place
        (place / "file").write_bytes(bytes(200_000))
        began = time.monotonic()
        with contextlib.closing(self._shell()) as shell:
            self._use(shell)
        self._whole = time.monotonic() - began

    def lose_one(self) -> None:
        way = self._random.choice([self._killed, self._cut, self._closed, self._frozen])
        with way() as shell:
            try:
                self._use(shell)
                result = "done"
            except ShellError as error:
                result = type(error).__name__
            began = time.monotonic()
            shell.close()
            self.slowest = max(self.slowest, time.monotonic() - began)
        self.outcomes[f"{way.__name__[1:]}: {result}"] += 1

    def _use(self, shell: SshShell) -> None:
        shell.connect()
        shell.run("echo hello; echo error >&2")
        shell.run("head -c 500000 /dev/zero", sink=OutputSink())
        shell.run("cat", stdin=bytes(200_000))
        shell.put(self._place / "file", PurePosixPath(self._place / "copy"))
        shell.get(PurePosixPath(self._place / "copy"), self._place / "back")
        shell.run("sleep 0.1")

    def _shell(self, port: int | None = None) -> SshShell:
        address = self._server.address
        return SshShell(replace(address, port=port or address.port), HostClock())

    @contextlib.contextmanager
    def _later(self, action: Callable[[], None]) -> Iterator[None]:
        timer = threading.Timer(self._random.uniform(0, self._whole), action)
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            timer.join()

    @contextlib.contextmanager
    def _killed(self) -> Iterator[SshShell]:
        with self._later(lambda: self._signal(signal.SIGKILL)):
            yield self._shell()

    @contextlib.contextmanager
    def _closed(self) -> Iterator[SshShell]:
        shell = self._shell()
        with self._later(shell.close):
            yield shell

    @contextlib.contextmanager
    def _frozen(self) -> Iterator[SshShell]:
        """Frozen, and a moment later closed, as by who knows from the console that all hangs."""
        shell = self._shell()

        def freeze() -> None:
            self._signal(signal.SIGSTOP)
            shell.close()
            self._signal(signal.SIGKILL)

        with self._later(freeze):
            yield shell

    @contextlib.contextmanager
    def _cut(self) -> Iterator[SshShell]:
        proxy = CuttingProxy(self._server.port, int(2 ** self._random.uniform(1, 21)))
        try:
            yield self._shell(proxy.port)
        finally:
            proxy.close()

    def _signal(self, number: signal.Signals) -> None:
        for process in self._server.sessions():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(number)


@pytest.mark.parametrize("count", [12, pytest.param(1000, marks=pytest.mark.long)])
def test_connections_lost_at_random_moments_leave_nothing(
    tmp_path: Path, count: int, record_property: Callable[[str, object], None]
) -> None:
    """A failure prints the seed; what the seed does not decide is when threads run."""
    seed = random.SystemRandom().getrandbits(32)
    with nothing_leaked(), ssh_server(tmp_path) as server:
        loser = Loser(server, seed, tmp_path)
        before = Held.now()
        memory = psutil.Process().memory_info().rss
        for _ in range(count):
            loser.lose_one()
            _await(lambda: not Held.now().more(before))
        _await(lambda: not server.sessions())
        grown = psutil.Process().memory_info().rss - memory
        assert sum(loser.outcomes.values()) == count
        found = f"seed {seed}: {dict(sorted(loser.outcomes.items()))}, "
        found += f"slowest close {loser.slowest:.2f} s, {grown >> 20} MiB more"
        record_property("losses", found)
        assert grown < 64 << 20, found


def _await(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, Held.now()
        time.sleep(0.005)
