"""Passwords and URLs of chats, from files and the environment; kept out of all that is printed."""

from __future__ import annotations

import base64
import os
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from harness.errors import InfraError

_MOST: Final = 64 * 1024
_HIDDEN: Final = "[secret]"


def read_secret(
    file: str | None, variable: str | None, directory: Path, environment: Mapping[str, str]
) -> str:
    """Return a secret without the newline at its end.

    Args:
        file: the file with it, relative to ``directory``.
        variable: the variable with it, if there is no file.
        directory: of the plan.
        environment: the variables.

    Raises:
        InfraError: it is missing, or other users can read the file.
    """
    if file is None:
        found = environment.get(variable or "", "")
        if not found:
            raise InfraError(
                f"the environment has no variable {variable}", remedy=f"set {variable}"
            )
        return found.strip("\n")
    path = directory / Path(file).expanduser()
    try:
        with path.open("rb") as opened:
            mode = os.fstat(opened.fileno()).st_mode
            data = opened.read(_MOST)
    except OSError as error:
        raise InfraError(
            f"cannot read the secret in {path}: {error.strerror}", remedy="create the file"
        ) from error
    if stat.S_ISREG(mode) and mode & (stat.S_IRGRP | stat.S_IROTH | stat.S_IWGRP | stat.S_IWOTH):
        raise InfraError(f"other users can access the secret {path}", remedy=f"chmod 600 {path}")
    text = data.decode("utf-8", "replace").strip("\n")
    if not text:
        raise InfraError(f"the secret {path} is empty", remedy="write it into the file")
    return text


def without_secrets(text: str, secrets: Iterable[str]) -> str:
    """Return a text in which secrets are hidden, also as ``AUTH`` sends them."""
    for secret in secrets:
        for form in _forms(secret):
            text = text.replace(form, _HIDDEN)
    return text


def _forms(secret: str) -> list[str]:
    encoded = base64.b64encode(secret.encode()).decode()
    parts = secret.replace("://", "/").replace("@", "/").split("/")
    long = [part for part in parts if len(part) >= 8]
    return [secret, encoded, *long] if secret else []
