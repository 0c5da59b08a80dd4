"""Runs harnesses in a mount namespace, with other devices or full file systems."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest
from command import PROGRAM, Home, Said

mounts_as_root = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("unshare") is None, reason="mounting takes root"
)

DEVICES = """
mkdir -p "$TMPDIR/dev"
mount --rbind /dev "$TMPDIR/dev"
mount -t tmpfs none /dev
for name in null zero full random urandom tty; do
    touch /dev/$name
    mount --bind "$TMPDIR/dev/$name" /dev/$name
done
ln -s /proc/self/fd /dev/fd
mkdir -m 1777 /dev/shm
"""
"""A /dev of its own, without KVM's device."""


def in_namespace(home: Home, mounts: str, *words: str, **env: str) -> Said:
    """Return the command that runs a harness in a mount namespace, after those mounts."""
    finished = subprocess.run(
        ["unshare", "--mount", "sh", "-ec", f'{mounts}\nexec "$@"', "sh", *PROGRAM, *words],
        env={**home.env, **env}, cwd=home.directory, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return Said(finished.returncode, finished.stdout, finished.stderr)
