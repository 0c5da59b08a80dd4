"""The user's settings: ``$XDG_CONFIG_HOME/harness/config.toml``.

Options take precedence over environment variables, these over this file.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import platformdirs

from harness.errors import UsageError, did_you_mean
from harness.guest.backends import OFFERED
from harness.host.jsontoml import parse_toml
from harness.host.tables import Complaint, Table, read_table

if TYPE_CHECKING:
    from harness.host.loglimits import LogLimits


class SourceSettings(Table, frozen=True):
    """``[source]``."""

    tree: str | None = None
    """A FreeBSD source tree, a git URL, or ``embedded``."""
    trust: tuple[Path, ...] = ()
    """Source trees that are accepted from any owner."""


class BuildSettings(Table, frozen=True):
    """``[build]``."""

    sandbox: bool = True
    """Whether FreeBSD trees are built in a sandbox (``harness.host.sandbox``)."""


class BootSettings(Table, frozen=True):
    """``[boot]``."""

    backend: str = "qemu"
    """A backend of ``harness.guest.backends``."""
    libvirt_uri: str | None = None
    """The URI of libvirt; None: depends on the user (``harness.guest.libvirt``)."""
    method: Literal["loader", "direct"] = "direct"
    """How a FreeBSD kernel is loaded."""
    accelerator: Literal["auto", "tcg", "kvm"] = "auto"
    """``auto`` measures both (``harness.guest.accelerator_choice``)."""
    ddb: str = ""
    """DDB commands after each failed boot, as ``--ddb``; ``default`` for the usual ones."""


class QemuSettings(Table, frozen=True):
    """``[qemu]``: settings of the backend ``qemu``."""

    user: str | None = None
    """User name or ID that root's guests run as; None: an unused ID for each guest; ``root``: QEMU
    can access root's files."""


class ImageSettings(Table, frozen=True):
    """``[image]``: images of worlds."""

    overlay: Path | None = None
    """A directory whose files are laid over each tree that a world is built from."""


class LogSettings(Table, frozen=True):
    """``[log]``: limits of each console log and build log."""

    keep: str = "256M"
    """The size of the log; further output is dropped."""
    end: str = "2G"
    """The size of the output after which the guest or the build is ended."""


class Settings(Table, frozen=True):
    """All settings."""

    source: SourceSettings = SourceSettings()
    build: BuildSettings = BuildSettings()
    boot: BootSettings = BootSettings()
    qemu: QemuSettings = QemuSettings()
    image: ImageSettings = ImageSettings()
    log: LogSettings = LogSettings()


_SECTIONS = dict(zip(Settings.__struct_fields__, Settings.__struct_defaults__, strict=True))


def settings_file() -> Path:
    """Return the path of the settings."""
    return platformdirs.user_config_path("harness") / "config.toml"


def log_limits(settings: Settings) -> LogLimits:
    """Return the limits of logs.

    Raises:
        UsageError: a value is not a size.
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
    """Return the settings; the defaults if there is no file.

    Raises:
        UsageError: the file is not TOML, or has an unknown key or a wrong value.
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
        raise UsageError(f"{path} is not TOML: {error}", remedy="correct the line") from error
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
        hint = did_you_mean(complaint.key, known).rstrip() or f"known keys: {', '.join(known)}"
        return UsageError(f"{path}: there is no setting {complaint.key}", remedy=hint)
    return UsageError(f"{path}: {complaint.key}: {complaint.what}", remedy="correct the value")
