"""Chromium without a window, driven over the pipe of its DevTools protocol."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

OPTIONS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run",
    "--disable-extensions", "--disable-background-networking", "--disable-dev-shm-usage",
    "--remote-debugging-pipe",
)  # fmt: skip


@dataclass
class Browser:
    """A running browser with one page.

    Args:
        writing: the pipe to the browser.
        reading: the pipe from it.

    Attributes:
        problems: what the browser reported of its pages: errors, and violations of the policy.
    """

    writing: int
    reading: int
    problems: list[str] = field(default_factory=list)
    _session: str = ""
    _sent: int = 0
    _buffer: bytes = b""
    _events: list[str] = field(default_factory=list)

    def begin(self) -> None:
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        attached = self.send("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Log", "Runtime"):
            self.send(f"{domain}.enable")

    def open(self, url: str, width: int = 1280, *, dark: bool = False) -> None:
        """Open a page, and wait until it is loaded with its pictures."""
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=900,
                  deviceScaleFactor=1, mobile=width < 600)  # fmt: skip
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.send("Emulation.setEmulatedMedia", features=[scheme])
        self._events.clear()
        found = self.send("Page.navigate", url=url)
        assert "errorText" not in found, found
        while "Page.loadEventFired" not in self._events:
            self._receive()

    def value(self, expression: str) -> Any:
        """Return what a JavaScript expression or promise comes to."""
        found = self.send(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def screenshot(self, file: Path) -> None:
        """Write a picture of what the window shows."""
        found = self.send("Page.captureScreenshot", format="png")
        file.write_bytes(base64.b64decode(found["data"]))

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the protocol, and return its result."""
        self._sent += 1
        message: dict[str, Any] = {"id": self._sent, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self.writing, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") == self._sent:
                assert "error" not in answer, answer
                result: dict[str, Any] = answer["result"]
                return result

    def _receive(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            more = os.read(self.reading, 1 << 16)
            assert more, "chromium has ended"
            self._buffer += more
        text, _, self._buffer = self._buffer.partition(b"\0")
        message: dict[str, Any] = json.loads(text)
        method = message.get("method", "")
        self._events.append(method)
        if method == "Log.entryAdded":
            self.problems.append(message["params"]["entry"]["text"])
        elif method in ("Runtime.exceptionThrown", "Page.javascriptDialogOpening"):
            self.problems.append(str(message["params"]))
        return message


@contextlib.contextmanager
def chromium(profile: Path) -> Iterator[Browser]:
    """Yield a browser that has its files in ``profile``."""
    program = shutil.which("chromium")
    if program is None:
        pytest.fail("there is no chromium: ci/run installs it")
    to_it, from_us = os.pipe()
    to_us, from_it = os.pipe()
    argv = [program, *OPTIONS, f"--user-data-dir={profile}"]
    # The pipes must be descriptors 3 and 4 of the browser; sh need not know those above 9.
    shell = ["bash", "-c", f'exec "$@" 3<&{to_it} 4>&{from_it}', "bash", *argv]
    with (profile.parent / "chromium.log").open("wb") as log:
        process = subprocess.Popen(
            shell, pass_fds=(to_it, from_it), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            start_new_session=True,
        )  # fmt: skip
    os.close(to_it)
    os.close(from_it)
    browser = Browser(from_us, to_us)
    try:
        browser.begin()
        yield browser
        browser.send("Browser.close")
        process.wait(60)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, 9)
        process.wait()
        os.close(from_us)
        os.close(to_us)
