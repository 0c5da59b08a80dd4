"""Nights of a made-up tree in which guests and commits do their worst to whoever shows them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fake_guests import banner
from fake_nights import CONTROL, Fault, Nights
from small_tree import git

from harness.guest.fake import Piece, Script
from harness.guest.spec import GuestSpec

KEYS = 'pages = "pages"'

TITLE = """<script>alert(1)</script>'"><img src=x onerror=alert(2)>{{ 7 * 7 }}{% raw %}"""
SUBJECT = "</code><b onclick=alert(3)>vm: {{ config }} & ${7*7} '; DROP TABLE nights; --"
NOISE = (
    b"\x1b[2J\x1b[31m\x1b]0;title\x07red\x1b[0m\r\n",
    b"\xff\xfe\x80 invalid \xc3\x28 \xed\xa0\x80\r\n",
    b"-->]]></pre></textarea><style>*{display:none}</style><!--\r\n",
    b"::add-mask::x\r\n::stop-commands::y\r\n::error::z\r\n##teamcity[buildStop]\r\n",
    b"section_start:1:s\r\nSubject: hi\r\nBcc: all@localhost\r\n",
    b"\xe2\x80\xaeoverridden\xe2\x80\xac \x00 nul\r\n",
    b"FreeBSD/amd64 (booted) (ttyu0)\r\n\r\nlogin: \r\nharness: booted\r\n",
)
"""What a guest prints before it panics."""


@dataclass
class HostileNights(Nights):
    """Nights whose guests with four nodes are hostile.

    Attributes:
        loud: whether they print ``NOISE``, and panic.
        line: the length of a line that they print.
    """

    loud: bool = False
    line: int = 0

    def play(self, spec: GuestSpec) -> Script:
        script = Nights.play(self, spec)
        if not self.loud or len(spec.topology.nodes) != 4 or script.failure:
            return script
        panic = f"panic: {TITLE}\r\ncpuid = 0\r\ntime = 1\r\nKDB: stack backtrace:\r\n"
        frames = (
            "panic() at panic+0x43/frame 0xfffffe0000000010\r\n"
            "thinker() at thinker+0x9/frame 0xfffffe0000000020\r\nUptime: 1s\r\n"
        )
        long = b"A" * self.line + b"\r\n"
        noise = [Piece(data, after=0.01) for data in (*NOISE, long)]
        return Script((Piece(banner()), *noise, Piece((panic + frames).encode(), after=1.0)))


def hostile_nights(directory: Path, line: int) -> HostileNights:
    """Run two nights, whose pages are in the directory ``pages``, and return them.

    Args:
        directory: an empty directory.
        line: the length of a line on consoles, in bytes.

    The second has a regression, a build breakage, a flake, host failures and equal kernels.
    """
    nights = HostileNights(directory, keys=KEYS, cells=CONTROL)
    nights.commit()
    nights.night()
    nights.commit(Fault("expected ';' before '}' <b>", 0, builds=False))
    nights.mend("expected ';' before '}' <b>")
    nights.commit(equal=True)
    nights.commit(Fault("seldom seen", 0, rate=0.5, nodes=(2,)))
    nights.commit()
    git(nights.tree, "commit", "--quiet", "--amend", "--message", SUBJECT)
    nights.commits[-1] = git(nights.tree, "rev-parse", "HEAD")
    nights.loud, nights.line = True, line
    nights.host = 0.1
    nights.night()
    return nights
