"""The conversation at the console of an image that was made elsewhere."""

from __future__ import annotations

import pytest

from harness.imported.firstlogin import FirstLogin, WayIn

DONE = b"\r\n@harness-import 00ff done console.\r\n"


def conversation(*printed: bytes) -> tuple[FirstLogin, list[bytes]]:
    """Feed what a guest prints, byte by byte; return what was typed."""
    login = FirstLogin("00ff", "add")
    typed = [login.feed(bytes([byte])) for data in printed for byte in data]
    return login, [data for data in typed if data]


def test_root_logs_in_without_a_password_and_types_the_command_once() -> None:
    login, typed = conversation(
        b"FreeBSD/amd64 (freebsd) (ttyu0)\r\n\r\nlogin: ",
        b"root\r\nFreeBSD 15.1-RELEASE\r\n\r\nWelcome to FreeBSD!\r\nroot@freebsd:~ # ",
        b"add\r\n", DONE, b"root@freebsd:~ # ",
    )  # fmt: skip
    assert typed == [b"root\r", b"add\r"]
    assert (login.way, login.refusal) == (WayIn.CONSOLE, "")


def test_config_drive_needs_nothing_typed() -> None:
    login, typed = conversation(b"Starting\r\n@harness-import 00ff done config-drive.\r\n")
    assert (login.way, typed) == (WayIn.CONFIG_DRIVE, [])


@pytest.mark.parametrize(
    ("printed", "why"),
    [
        ([b"login: ", b"root\r\nPassword:"], "root has a password"),
        ([b"login: ", b"root\r\nLogin incorrect\r\nlogin: "], "cannot log in"),
        ([b"Enter full pathname of shell or RETURN for /bin/sh: "], "single-user"),
        ([b"login: ", b"# ", b"@harness-import 00ff failed.\r\n"], "could not be added"),
        ([b"@harness-import 00ff done elsewhere.\r\n"], "could not be added"),
    ],
)
def test_image_that_lets_nobody_in_is_refused(printed: list[bytes], why: str) -> None:
    login, _ = conversation(*printed)
    assert why in login.refusal
    assert login.way is None


def test_lines_of_others_prove_nothing() -> None:
    login, _ = conversation(b"@harness-import 11ee done console.\r\n@harness-import 00ff done")
    assert not login.ended
