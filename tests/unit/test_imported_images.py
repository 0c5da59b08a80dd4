"""Images that others made: which are accepted, what is read of them, and which are refused."""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import lzma
import ssl
import struct
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote, unquote

import pytest
from disk_images import PROGRAM, Part, published, write_gpt_disk, write_small_root
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.errors import HarnessError, InfraError, UsageError
from harness.host.process import HostRunner
from harness.imported import given as given_module
from harness.imported.convert import flattened, raw_disk
from harness.imported.given import given_image
from harness.imported.partitions import ZFS_TYPE
from harness.imported.qcow2 import HEADER_BYTES, parse_header
from harness.imported.rootdisk import RootDisk, read_root


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A disk like FreeBSD's own; tests only read it."""
    top = tmp_path_factory.mktemp("disk")
    root = write_small_root(top / "root", top / "root.ufs")
    return write_gpt_disk(top / "disk.raw", published(root))


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    (tmp_path / "scratch").mkdir()
    return tmp_path / "scratch"


def refused(work: Callable[[], object]) -> str:
    with pytest.raises(UsageError) as caught:
        work()
    return caught.value.message


@pytest.mark.parametrize("version", [1, 2])
def test_root_is_found_in_the_partition_table_and_without_one(tmp_path: Path, version: int) -> None:
    root = write_small_root(tmp_path / "root", tmp_path / "root.ufs", version=version)
    disk = write_gpt_disk(tmp_path / "disk.raw", published(root))
    assert read_root(disk, "x") == RootDisk("p3", "15.1-RELEASE")
    assert read_root(root, "x") == RootDisk("", "15.1-RELEASE")


def test_another_architecture_is_refused(tmp_path: Path) -> None:
    arm = PROGRAM[:18] + struct.pack("<H", 183) + PROGRAM[20:]
    root = write_small_root(tmp_path / "root", tmp_path / "root.ufs", program=arm)
    assert "another architecture" in refused(lambda: read_root(root, "x"))


def test_disk_without_freebsd_is_refused_by_what_it_has(tmp_path: Path) -> None:
    for name, content, why in [
        ("zeros", bytes(1 << 20), "no UFS file system"),
        ("cd", bytes(0x8001) + b"CD001" + bytes(4096), "is a CD image"),
        ("short", b"x", "no UFS file system"),
    ]:
        path = tmp_path / name
        path.write_bytes(content)
        assert why in refused(lambda path=path: read_root(path, "x"))  # type: ignore[misc]
    zfs = write_gpt_disk(tmp_path / "zfs", [Part(ZFS_TYPE, "zroot", 1 << 20)])
    assert "ZFS" in refused(lambda: read_root(zfs, "x"))


@pytest.mark.parametrize("kept", [0.3, 0.9, 0.999])
def test_truncated_disk_is_refused(disk: Path, tmp_path: Path, kept: float) -> None:
    data = disk.read_bytes()
    (tmp_path / "short").write_bytes(data[: int(len(data) * kept)])
    assert "is truncated" in refused(lambda: read_root(tmp_path / "short", "x"))


def test_truncated_file_system_is_refused(tmp_path: Path) -> None:
    root = write_small_root(tmp_path / "root", tmp_path / "root.ufs")
    root.write_bytes(root.read_bytes()[:-512])
    assert "truncated" in refused(lambda: read_root(root, "x"))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 1 << 22), st.binary(min_size=1, max_size=8)), min_size=1))
def test_damaged_disk_is_read_or_refused_and_nothing_else(
    tmp_path: Path, disk: Path, damage: list[tuple[int, bytes]]
) -> None:
    data = bytearray(disk.read_bytes())
    for at, wrong in damage:
        # Half of the damage meets the tables and the superblock.
        place = at % (len(data) if at % 2 else 1 << 17)
        data[place : place + len(wrong)] = wrong
    (tmp_path / "damaged").write_bytes(data)
    with contextlib.suppress(UsageError):
        assert read_root(tmp_path / "damaged", "x").partition in {"p3", ""}


def header(**changes: int) -> bytes:
    values = {"version": 3, "backing": 0, "length": 0, "crypt": 0, "features": 0} | changes
    start = struct.pack(
        ">4sIQIIQI", b"QFI\xfb", values["version"], values["backing"], values["length"], 16,
        1 << 30, values["crypt"],
    )  # fmt: skip
    return start.ljust(72, b"\0") + struct.pack(">Q", values["features"]).ljust(32, b"\0")


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"backing": 512, "length": 11}, "backing file"),
        ({"features": 4}, "another file"),
        ({"features": 2}, "corrupt"),
        ({"features": 1 << 20}, "unknown features"),
        ({"crypt": 2}, "encrypted"),
        ({"version": 9}, "version 9"),
    ],
)
def test_qcow2_file_that_needs_more_than_itself_is_refused(
    changes: dict[str, int], why: str
) -> None:
    assert parse_header(header(), "x").size == 1 << 30
    assert why in refused(lambda: parse_header(header(**changes), "x"))
    assert "truncated" in refused(lambda: parse_header(header()[: HEADER_BYTES - 1], "x"))


def qemu_img(*words: str | Path) -> None:
    subprocess.run(["qemu-img", *words], check=True, capture_output=True)


def test_qcow2_file_becomes_the_same_disk(disk: Path, tmp_path: Path, scratch: Path) -> None:
    image = tmp_path / "disk.qcow2"
    qemu_img("convert", "-c", "-O", "qcow2", disk, image)
    raw = raw_disk(image, "x", scratch, HostRunner(), sandboxed=True)
    assert raw.read_bytes() == disk.read_bytes()


def test_real_overlay_is_refused_and_names_no_file_to_qemu(
    disk: Path, tmp_path: Path, scratch: Path
) -> None:
    image = tmp_path / "overlay.qcow2"
    qemu_img("create", "-f", "qcow2", "-F", "raw", "-b", disk, image)
    why = refused(lambda: raw_disk(image, "x", scratch, HostRunner(), sandboxed=True))
    assert "overlay of another file" in why
    assert not list(scratch.iterdir())


@pytest.mark.parametrize("kept", [0.2, 0.9])
def test_truncated_qcow2_file_is_refused(
    disk: Path, tmp_path: Path, scratch: Path, kept: float
) -> None:
    image = tmp_path / "disk.qcow2"
    qemu_img("convert", "-O", "qcow2", disk, image)
    data = image.read_bytes()
    image.write_bytes(data[: int(len(data) * kept)])
    refused(lambda: read_root(raw_disk(image, "x", scratch, HostRunner(), sandboxed=True), "x"))


def test_overlay_is_flattened_onto_the_named_file_alone(disk: Path, tmp_path: Path) -> None:
    overlay, other = tmp_path / "overlay.qcow2", tmp_path / "other"
    other.write_bytes(b"secret" * 1000)
    size = str(disk.stat().st_size)
    qemu_img("create", "-f", "qcow2", "-u", "-F", "raw", "-b", other, overlay, size)
    flattened(overlay, disk, tmp_path / "flat.qcow2", HostRunner())
    qemu_img("convert", "-O", "raw", tmp_path / "flat.qcow2", tmp_path / "flat.raw")
    assert (tmp_path / "flat.raw").read_bytes() == disk.read_bytes()


def test_compressed_image_is_unpacked_with_its_holes(
    disk: Path, tmp_path: Path, scratch: Path
) -> None:
    packed = tmp_path / "disk.raw.xz"
    data = disk.read_bytes() + bytes(1 << 20)
    half = len(data) // 2
    packed.write_bytes(
        lzma.compress(data[:half], preset=0) + bytes(4) + lzma.compress(data[half:], preset=0)
    )
    image = given_image(str(packed), None, scratch)
    assert image.path.read_bytes() == data
    assert image.sha256 == hashlib.sha256(packed.read_bytes()).hexdigest()
    assert image.path.stat().st_blocks * 512 < len(data)


def test_compressed_file_that_is_wrong_is_refused(
    disk: Path, tmp_path: Path, scratch: Path
) -> None:
    packed = lzma.compress(disk.read_bytes(), preset=0)
    for content, why in [
        (packed[:-30], "truncated"),
        (packed[:100] + b"x" * 50 + packed[150:], "cannot be unpacked"),
        (lzma.compress(packed), "compressed twice"),
        (b"\x1f\x8b" + bytes(100), "compressed by gzip"),
        (b"", "is empty"),
    ]:
        (tmp_path / "wrong").write_bytes(content)
        assert why in refused(lambda: given_image(str(tmp_path / "wrong"), None, scratch))


def test_decompression_bomb_ends_at_the_limit(
    tmp_path: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(given_module, "MOST_BYTES", 4 << 20)
    (tmp_path / "bomb.xz").write_bytes(lzma.compress(bytes(8 << 20), preset=0))
    assert "has more than" in refused(lambda: given_image(str(tmp_path / "bomb.xz"), None, scratch))


def test_names_that_are_no_files_are_refused(tmp_path: Path, scratch: Path) -> None:
    for name, why in [
        (str(tmp_path), "is a directory"),
        (str(tmp_path / "none"), "No such file"),
        ("/dev/null", "not a regular file"),
        ("ftp://example.org/x", "not fetched by ftp"),
        ("https://", "names no host"),
        ("https://[", "is not a URL"),
        ("http://example.org/x", "not fetched by http"),
    ]:
        assert why in refused(lambda name=name: given_image(name, None, scratch))  # type: ignore[misc]
    assert "not a SHA-256" in refused(lambda: given_image("x", "12", scratch))


@contextlib.contextmanager
def serving(directory: Path, tls: tuple[Path, Path] | None = None) -> Iterator[str]:
    """The URL of a directory on the loopback address; below /to/ are redirections."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args: object, **values: object) -> None:
            super().__init__(*args, directory=str(directory), **values)  # type: ignore[arg-type]

        def log_message(self, *args: object) -> None:
            """Print nothing."""

        def do_GET(self) -> None:
            if not self.path.startswith("/to/"):
                super().do_GET()
                return
            self.send_response(302)
            self.send_header("Location", unquote(self.path.removeprefix("/to/")))
            self.end_headers()

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        if tls is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*tls)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        place = "http://127.0.0.1" if tls is None else "https://localhost"
        yield f"{place}:{server.server_port}"
        server.shutdown()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[str]:
    """The URL of a directory on the loopback address."""
    with serving(tmp_path) as url:
        yield url


def test_image_is_fetched_if_its_hash_is_the_expected_one(
    served: str, tmp_path: Path, scratch: Path
) -> None:
    (tmp_path / "disk").write_bytes(b"data" * 1000)
    digest = hashlib.sha256(b"data" * 1000).hexdigest()
    image = given_image(f"{served}/disk", digest.upper(), scratch)
    assert image.path.read_bytes() == b"data" * 1000
    assert "not the expected file" in refused(
        lambda: given_image(f"{served}/disk", "0" * 64, scratch)
    )
    with pytest.raises(InfraError, match="404"):
        given_image(f"{served}/none", digest, scratch)


def test_redirections_lead_to_what_could_have_been_named(
    served: str, tmp_path: Path, scratch: Path
) -> None:
    (tmp_path / "disk").write_bytes(b"data")
    digest = hashlib.sha256(b"data").hexdigest()
    assert given_image(f"{served}/to//disk", digest, scratch).sha256 == digest
    elsewhere = f"{served}/to/{quote('ftp://127.0.0.1:9/disk', safe='')}"
    assert "not fetched by ftp" in refused(lambda: given_image(elsewhere, digest, scratch))


def test_redirection_from_https_to_http_is_refused(
    served: str, tmp_path: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "disk").write_bytes(b"data")
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with serving(tmp_path, (certificate, key)) as secure:
        assert given_image(f"{secure}/disk", None, scratch).path.read_bytes() == b"data"
        told = refused(
            lambda: given_image(f"{secure}/to/{quote(f'{served}/disk', safe='')}", None, scratch)
        )
    assert f"not fetched by http: {secure}" in told
    assert f"which leads to {served}/disk" in told


def test_network_that_fails_is_the_hosts_failure(scratch: Path) -> None:
    with pytest.raises(HarnessError) as caught:
        given_image("http://127.0.0.1:9/x", "0" * 64, scratch)
    assert isinstance(caught.value, InfraError)
