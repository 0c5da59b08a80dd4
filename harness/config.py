"""The user's settings: ``$XDG_CONFIG_HOME/harness/config.toml``.

A flag beats an environment variable, that beats this file, that beats the default.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import platformdirs

from harness.errors import UsageError
from harness.guest.backends import OFFERED
from harness.host.documents import parse_toml
from harness.host.tables import Complaint, Table, read_table

if TYPE_CHECKING:
    from harness.host.loglimits import LogLimits


class SourceSettings(Table, frozen=True):
    """``[source]``."""

    tree: str | None = None
    """A FreeBSD source tree, a git URL, or ``embedded``."""
    trust: tuple[Path, ...] = ()
    """Source trees that are read although another user owns them."""


class BuildSettings(Table, frozen=True):
    """``[build]``."""

    sandbox: bool = True
    """Whether FreeBSD trees are built in a sandbox (see ``harness.host.sandbox``)."""


class BootSettings(Table, frozen=True):
    """``[boot]``."""

    backend: str = "qemu"
    """One that ``harness.guest.backends`` offers."""
    libvirt_uri: str | None = None
    """The libvirt connection; None chooses by user (see ``harness.guest.libvirt``)."""
    method: Literal["loader", "direct"] | None = None
    """``loader`` or ``direct``: what brings a FreeBSD kernel into memory; None: as is usual for
    the command."""
    accelerator: Literal["auto", "tcg", "kvm"] = "auto"
    """``auto`` measures both (see ``harness.guest.accelerator_choice``)."""


class QemuSettings(Table, frozen=True):
    """``[qemu]``: of the backend of that name."""

    user: str | None = None
    """Whom root's guests run as, a name or a number; None gives each an unused user id, ``root``
    leaves QEMU with root's files."""


class LogSettings(Table, frozen=True):
    """``[log]``: of each console and each build."""

    keep: str = "256M"
    """How much of its beginning is kept."""
    end: str = "2G"
    """The output after which the guest or the build is ended."""


class Settings(Table, frozen=True):
    """The whole file."""

    source: SourceSettings = SourceSettings()
    build: BuildSettings = BuildSettings()
    boot: BootSettings = BootSettings()
    qemu: QemuSettings = QemuSettings()
    log: LogSettings = LogSettings()


_SECTIONS = dict(zip(Settings.__struct_fields__, Settings.__struct_defaults__, strict=True))


def settings_file() -> Path:
    """Where the settings are."""
    return platformdirs.user_config_path("harness") / "config.toml"


def log_limits(settings: Settings) -> LogLimits:
    """The limits of logs.

    Raises:
        UsageError: a value is no size.
    """
    from harness.host.cachesize import parse_size
    from harness.host.loglimits import LogLimits

    if settings.log == LogSettings():
        return LogLimits()
    try:
        return LogLimits(parse_size(settings.log.keep), parse_size(settings.log.end))
    except UsageError as error:
        raise UsageError(f"{settings_file()}: log: {error.message}", remedy=error.remedy) from error


def load_settings(path: Path | None = None) -> Settings:
    """Read the settings; a file that is not there means the defaults.

    Raises:
        UsageError: the file is no TOML, or has a key or value that is not known.
    """
    path = path or settings_file()
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        return Settings()
    except (OSError, UnicodeDecodeError) as error:
        cause = getattr(error, "strerror", None) or error
        raise UsageError(f"cannot read {path}: {cause}", remedy="correct or remove it") from error
    try:
        settings = read_table(parse_toml(text), Settings)
        if settings.boot.backend not in OFFERED:
            named = " or ".join(map(repr, sorted(OFFERED)))
            raise Complaint("boot.backend", f"it must be {named}", settings.boot.backend)
        return settings
    except ValueError as error:
        raise UsageError(f"{path} is not TOML: {error}", remedy="correct that line") from error
    except Complaint as complaint:
        raise _refused(path, complaint) from complaint


def _refused(path: Path, complaint: Complaint) -> UsageError:
    if complaint.unknown:
        known = [
            *Settings.__struct_fields__,
            *(
                f"{section}.{name}"
                for section, default in _SECTIONS.items()
                for name in default.__struct_fields__
            ),
        ]
        import difflib

        near = difflib.get_close_matches(complaint.key, known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"known keys: {', '.join(known)}"
        return UsageError(f"{path}: there is no setting {complaint.key}", remedy=hint)
    return UsageError(f"{path}: {complaint.key}: {complaint.what}", remedy="correct that value")
