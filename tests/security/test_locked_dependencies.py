"""A package index that serves another file than the one that was locked."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]


def forged_wheel(directory: Path, name: str, version: str) -> None:
    """A release of that name and version, whole by itself, with code of the attacker's."""
    info = f"{name}-{version}.dist-info"
    files = {
        f"{name}.py": "print('attack')\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    rows = [f"{path},sha256={_digest(text)},{len(text)}" for path, text in files.items()]
    files[f"{info}/RECORD"] = "\n".join([*rows, f"{info}/RECORD,,"]) + "\n"
    with zipfile.ZipFile(directory / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
        for path, text in files.items():
            wheel.writestr(path, text)


def _digest(text: str) -> str:
    raw = hashlib.sha256(text.encode()).digest()
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def installed(tmp_path: Path) -> tuple[subprocess.CompletedProcess[str], Path]:
    """What ci/run does with an index that has forged releases only, and where it would install."""
    index, venv, target = (tmp_path / name for name in ("index", "venv", "target"))
    index.mkdir()
    text = (CHECKOUT / "ci" / "requirements" / "build.txt").read_text()
    for name, version in re.findall(r"(?m)^(\S+)==([^\s;]+)", text):
        forged_wheel(index, name.replace("-", "_"), version)
    python = venv / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    env = {
        **os.environ, "HARNESS_VENV": str(venv), "PIP_CONFIG_FILE": os.devnull,
        "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(index), "PIP_TARGET": str(target),
    }  # fmt: skip
    finished = subprocess.run(
        [CHECKOUT / "ci" / "run", "true"], env=env, capture_output=True, text=True, check=False
    )
    return finished, target


def test_another_file_than_the_locked_one_is_not_installed(tmp_path: Path) -> None:
    finished, target = installed(tmp_path)
    assert finished.returncode == 3
    assert "DO NOT MATCH THE HASHES" in finished.stderr
    assert not target.exists()
    assert not (tmp_path / "venv" / ".installed").exists()
