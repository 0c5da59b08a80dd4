"""A real kernel is built in the sandbox, while the tree's own makefiles try to get out of it."""

from __future__ import annotations

import difflib
import shutil
import socket
import uuid
from pathlib import Path

import pytest
from harness_command import harness

from harness.host.process import HostRunner
from harness.host.workspace import Workspace
from harness.source.opentree import open_tree

pytestmark = [pytest.mark.freebsd, pytest.mark.timeout(2400)]

MAKEFILE = "sys/conf/kern.post.mk"

#: Read by the kernel's own make, after config(8); each line that succeeds leaves a word.
ATTACK = """\
ATTACK!= {{ cat {secret} && echo read; echo x >{planted} && echo wrote; \\
    echo x >>{makefile} && echo tampered; \\
    bash -c 'echo >/dev/tcp/127.0.0.1/{port}' && echo connected; \\
    echo tried; }} >{report} 2>/dev/null; echo
"""


def test_a_kernel_whose_makefiles_attack(freebsd_tree: Path, tmp_path: Path) -> None:
    home = open_tree(str(freebsd_tree), Workspace.of_user(), HostRunner()).home
    secret, planted = tmp_path / "secret", tmp_path / "planted"
    secret.write_text("the user's key")
    name = f"attack-{uuid.uuid4().hex}"
    with socket.create_server(("127.0.0.1", 0)) as server:
        attack = ATTACK.format(
            secret=secret,
            planted=planted,
            makefile=home / "src" / MAKEFILE,
            port=server.getsockname()[1],
            report=f"${{.OBJDIR}}/{name}",
        )
        answer = harness(
            "build", "--source", freebsd_tree, "--patch", patch(freebsd_tree, tmp_path, attack),
            out=tmp_path,
        )  # fmt: skip
    try:
        assert answer.code == 0, answer.told
        reports = list(home.glob(f"obj-*/**/{name}"))
        assert {path.read_text() for path in reports} == {"tried\n"}
        assert not planted.exists()
    finally:
        shutil.rmtree(Workspace.of_user().cache / "kernels" / str(answer.document.get("key")))


def patch(tree: Path, directory: Path, text: str) -> Path:
    """Puts a text to the end of the makefile."""
    old = (tree / MAKEFILE).read_text().splitlines(keepends=True)
    new = [*old, *text.splitlines(keepends=True)]
    path = directory / "attack.diff"
    path.write_text("".join(difflib.unified_diff(old, new, f"a/{MAKEFILE}", f"b/{MAKEFILE}")))
    return path
