"""A history on a PostgreSQL server: what it refuses, how it fails, and who holds its locks."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from fake_nights import Nights
from mail_server import certificate
from postgres_server import PASSWORD, Server, postgres_server, quiet_port
from sqlalchemy import insert, select

from harness.errors import HarnessError, InfraError
from harness.history.database import Database
from harness.history.schema import LockRow, PlanRow
from harness.history.serverlock import KEEPALIVE
from harness.history.url import DatabaseUrl
from harness.nightly.result import Status

NIGHT = "nightly-made"
HARNESS = str(Path(sys.executable).with_name("harness"))
DOING = "runs a night of the plan made"


@pytest.fixture
def own_server() -> Iterator[Server]:
    """A server that a test may stop."""
    with postgres_server() as server:
        yield server


def names_in(database: Database) -> list[str]:
    with database.reading() as connection:
        return list(connection.execute(select(PlanRow.name).order_by(PlanRow.name)).scalars())


def write(database: Database, name: str, *statements: str) -> None:
    with database.writing() as connection:
        connection.execute(insert(PlanRow).values(name=name))
        for each in statements:
            connection.exec_driver_sql(each)


def sessions(server: Server, url: DatabaseUrl, where: str = "TRUE") -> list[int]:
    """Return the processes of a database's sessions."""
    wanted = f"SELECT pid FROM pg_stat_activity WHERE datname = %s AND {where}"  # noqa: S608
    with server.admin() as connection:
        found = connection.execute(wanted, (url.database,))
        return [pid for (pid,) in found]


def holder(server: Server, url: DatabaseUrl) -> list[int]:
    """Return the processes of the sessions that hold a lock on the night."""
    where = "pid IN (SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND objid <> 0)"
    return sessions(server, url, where)


def end(server: Server, processes: list[int]) -> None:
    server.execute(*(f"SELECT pg_terminate_backend({pid}, 60000)" for pid in processes))


def refusals(server: Server, directory: Path) -> dict[str, tuple[DatabaseUrl, int, str]]:
    """Return URLs that do not work, each with the exit code and words of its error."""
    good = server.database()
    newer, foreign = server.database(), server.database(owner="admin")
    write(Database.open(newer), "newer", "UPDATE alembic_version SET version_num = '9999'")
    ascii_ = server.database("ENCODING 'SQL_ASCII' LOCALE 'C'")
    wrong = server.passfile("wrong", "wrong")
    empty = server.passfile(name="empty")
    empty.write_text("")
    readable = server.passfile(name="readable")
    readable.chmod(0o644)
    down = DatabaseUrl("127.0.0.1", quiet_port(), "me", "night")
    unknown = DatabaseUrl("no-such-host.invalid", 5432, "me", "night")
    authority = {"sslmode": "verify-full", "sslrootcert": str(certificate(directory))}
    return {
        "down": (down, 3, "refused"),
        "unknown host": (unknown, 3, "no-such-host.invalid"),
        "wrong password": (server.url(good.database, passfile=str(wrong)), 2, "password"),
        "no password": (server.url(good.database, passfile=str(empty)), 2, "password"),
        "password for all": (server.url(good.database, passfile=str(readable)), 2, "other users"),
        "no file": (server.url(good.database, passfile="/none"), 2, "passfile=/none"),
        "no such database": (server.url("none"), 2, "no database none"),
        "no such role": (server.url(good.database, user="nobody"), 2, "nobody"),
        "newer schema": (newer, 2, "schema 9999"),
        "no right": (server.url(foreign.database), 2, "lacks a right"),
        "encoding": (ascii_, 2, "SQL_ASCII"),
        "no TLS": (server.url(good.database, **authority), 2, "does not use TLS"),
    }  # fmt: skip


def test_what_is_refused_is_named_in_one_sentence(postgres: Server, tmp_path: Path) -> None:
    for name, (url, code, words) in refusals(postgres, tmp_path).items():
        with pytest.raises(HarnessError) as refused:
            Database.open(url)
        error = refused.value
        assert (error.exit_code, words in error.message) == (code, True), (name, error)
        assert error.remedy, name
        assert "\n" not in error.message, name
        assert PASSWORD not in repr(error), name


def test_the_command_line_prints_the_error_and_no_password(
    postgres: Server, tmp_path: Path
) -> None:
    (tmp_path / "nightly.toml").write_text(
        'name = "made"\n[[tree]]\nname = "t"\nsource = "embedded"'
    )
    for history in ("postgresql://me:tru5tno1@127.0.0.1/night", str(postgres.url("none"))):
        words = [HARNESS, "nightly", "trend", "--history", history]
        done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 2, done
        assert "tru5tno1" not in done.stderr + done.stdout
        assert "Traceback" not in done.stderr
        assert PASSWORD not in done.stderr + done.stdout


def test_tls_is_verified(tmp_path: Path) -> None:
    key = certificate(tmp_path)
    with postgres_server(certificate=key) as server:
        url = server.database()
        parameters = {"sslmode": "verify-full", "sslrootcert": str(key)}
        verified = server.url(url.database, **parameters)
        with Database.open(verified).reading() as connection:
            wanted = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
            assert connection.exec_driver_sql(wanted).scalar() is True
        (tmp_path / "other").mkdir()
        foreign = {**parameters, "sslrootcert": str(certificate(tmp_path / "other"))}
        with pytest.raises(InfraError, match="not verified") as refused:
            Database.open(server.url(url.database, **foreign))
        assert "sslrootcert" in refused.value.remedy
        # The certificate is that of 127.0.0.1.
        renamed = DatabaseUrl("localhost", server.port, url.user, url.database, verified.parameters)
        with pytest.raises(InfraError, match="not verified"):
            Database.open(renamed)


def test_the_environment_does_not_change_where_a_url_leads(
    postgres: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = postgres.database()
    for name, value in {
        "PGHOSTADDR": "127.0.0.2", "PGSSLMODE": "verify-full", "PGDATABASE": "postgres",
        "PGTZ": "America/St_Johns", "PGOPTIONS": "-c search_path=public",
        "PGCLIENTENCODING": "latin1",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    write(Database.open(url), "naïve \N{SNOWMAN}")
    assert names_in(Database.open(url)) == ["naïve \N{SNOWMAN}"]


def test_a_connection_that_is_cut_writes_nothing_and_the_next_one_works(postgres: Server) -> None:
    url = postgres.database()
    database = Database.open(url)

    def cut() -> None:
        with database.writing() as connection:
            connection.execute(insert(PlanRow).values(name="lost"))
            end(postgres, sessions(postgres, url))
            connection.execute(insert(PlanRow).values(name="never"))

    with pytest.raises(InfraError, match=r"lost|shut down") as failed:
        cut()
    assert "run it again" in failed.value.remedy
    assert names_in(database) == []
    end(postgres, sessions(postgres, url))  # idle connections are replaced in silence
    write(database, "made")
    assert names_in(database) == ["made"]


def test_a_full_disk_of_the_server_is_a_host_failure(postgres: Server) -> None:
    url = postgres.database()
    database = Database.open(url)
    raised = "DO $$ BEGIN RAISE EXCEPTION 'no space' USING ERRCODE = 'disk_full'; END $$"
    with pytest.raises(InfraError, match="disk of the server is full"):
        write(database, "lost", raised)
    assert names_in(database) == []


def test_a_killed_migration_leaves_nothing(postgres: Server) -> None:
    url = postgres.database()
    made = "CREATE SCHEMA harness AUTHORIZATION harness", "CREATE TABLE harness.news (id int)"
    postgres.execute(*made, database=url.database)
    with pytest.raises(InfraError, match="already exists"):
        Database.open(url)
    with postgres.admin(url.database) as connection:
        wanted = "SELECT tablename FROM pg_tables WHERE schemaname = 'harness'"
        assert connection.execute(wanted).fetchall() == [("news",)]


def test_a_writer_that_stands_still_does_not_stop_the_others(postgres: Server) -> None:
    """With a limit of half a second in place of half a minute."""
    url = postgres.database()
    stuck, other = Database.open(url), Database.open(url)

    def stand_still() -> None:
        with stuck.writing() as connection:
            connection.exec_driver_sql("SET idle_in_transaction_session_timeout = '500ms'")
            connection.execute(insert(PlanRow).values(name="stuck"))
            write(other, "other")
            connection.execute(insert(PlanRow).values(name="later"))

    with pytest.raises(InfraError, match=r"stopped for too long|lost"):
        stand_still()
    assert names_in(other) == ["other"]


LOCKER = f"""
import sys, time
from harness.history.database import Database
from harness.history.url import history_location
with Database.open(history_location(sys.argv[1])).lock({NIGHT!r}, {DOING!r}):
    print("held", flush=True)
    time.sleep(3600)
"""


def locker(url: DatabaseUrl, *before: str) -> subprocess.Popen[str]:
    """Start a process that holds the night's lock."""
    words = [*before, sys.executable, "-c", LOCKER, str(url)]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_night_excludes_others_until_its_process_is_killed(postgres: Server) -> None:
    url = postgres.database()
    database = Database.open(url)
    assert not database.is_locked(NIGHT)
    with locker(url) as process:
        assert database.is_locked(NIGHT)
        assert not database.is_locked("nightly-other")
        words = f"process {process.pid} on .* {DOING}"
        with pytest.raises(InfraError, match=words), database.lock(NIGHT, DOING):
            pass
        with database.lock("nightly-other", DOING):
            pass
        process.kill()
    while database.is_locked(NIGHT):
        time.sleep(0.05)
    with database.lock(NIGHT, DOING):
        write(database, "made")


def test_a_lock_is_taken_again_after_its_connection_was_lost(postgres: Server) -> None:
    url = postgres.database()
    database = Database.open(url)
    with database.lock(NIGHT, DOING):
        first = holder(postgres, url)
        end(postgres, first)
        while (now := holder(postgres, url)) in ([], first):
            time.sleep(0.05)
        assert len(now) == 1
        write(database, "made")
    assert holder(postgres, url) == []


def test_who_lost_the_lock_to_another_writes_nothing_more(postgres: Server) -> None:
    url = postgres.database()
    mine, other = Database.open(url), Database.open(url)
    with mine.lock(NIGHT, DOING):
        write(mine, "before")
        while True:
            end(postgres, holder(postgres, url))
            try:
                with other.lock(NIGHT, DOING):
                    write(other, "other")
                break
            except InfraError:  # it was taken again first
                continue
        with pytest.raises(InfraError, match="has taken over") as failed:
            write(mine, "after")
    assert failed.value.exit_code == 3
    assert names_in(mine) == ["before", "other"]


def test_a_server_that_restarts_does_not_end_what_runs_under_a_lock(own_server: Server) -> None:
    url = own_server.database()
    database = Database.open(url)
    with database.lock(NIGHT, DOING):
        own_server.stop(signal.SIGQUIT)
        start = threading.Timer(1.0, own_server.start)
        start.start()
        write(database, "made")
        start.join()
        assert names_in(database) == ["made"]
    own_server.stop()
    with pytest.raises(InfraError, match="does not answer"):
        names_in(database)


def test_a_server_that_crashes_in_a_night_changes_nothing(
    own_server: Server, tmp_path: Path
) -> None:
    nights = Nights(tmp_path, history=own_server.database())
    plan = tmp_path / "nightly.toml"
    plan.write_text(plan.read_text().replace('"1,2,4"', '"1"'))
    starts: list[threading.Timer] = []

    def crash() -> None:
        if nights.boots in (1, 2):
            own_server.stop(signal.SIGQUIT)
            starts.append(threading.Timer(1.0, own_server.start))
            starts[-1].start()

    nights.night()
    for _ in range(3):
        nights.commit()
    nights.at_boot = crash
    judged = nights.night()
    assert (judged.exit_code, len(starts)) == (0, 2)
    commits = sorted(each.commit for each in judged.judged.results)
    assert commits == sorted(nights.commits[1:])
    assert {each.status for each in judged.judged.results} == {Status.PASSED}


def test_the_server_gives_a_vanished_host_up_within_a_minute(postgres: Server) -> None:
    assert KEEPALIVE.seconds < 60
    database = Database.open(postgres.database())
    shown = {}
    with database.reading() as connection:
        for name in ("idle", "interval", "count"):
            setting = f"SHOW tcp_keepalives_{name}"
            shown[name] = int(str(connection.exec_driver_sql(setting).scalar()))
        timeout = connection.exec_driver_sql("SHOW tcp_user_timeout").scalar()
    assert shown == {
        "idle": KEEPALIVE.idle,
        "interval": KEEPALIVE.interval,
        "count": KEEPALIVE.count,
    }
    assert timeout == f"{KEEPALIVE.seconds}000"
    with database.reading() as connection:
        assert connection.execute(select(LockRow.name)).all() == []


@pytest.fixture
def two_hosts() -> Iterator[tuple[str, str, str]]:
    """Two network namespaces with a cable: their names, and the first one's address."""
    names = [f"harness-{os.getpid()}-{which}" for which in "ab"]
    cable = [f"h{os.getpid() % 100000}{which}" for which in "ab"]
    commands = [
        *(["netns", "add", name] for name in names),
        ["link", "add", cable[0], "type", "veth", "peer", "name", cable[1]],
        *(["link", "set", end_, "netns", name] for end_, name in zip(cable, names, strict=True)),
        *(["-n", name, "addr", "add", f"10.213.7.{number}/24", "dev", end_]
          for number, end_, name in zip((1, 2), cable, names, strict=True)),
        *(["-n", name, "link", "set", end_, "up"]
          for end_, name in zip((*cable, "lo", "lo"), (*names, *names), strict=True)),
    ]  # fmt: skip
    try:
        for words in commands:
            done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
            if done.returncode:
                pytest.skip(f"no network namespaces here: {done.stderr.strip()}")
        yield names[0], names[1], "10.213.7.1"
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)


@pytest.mark.long
@pytest.mark.timeout(600)
def test_a_lock_falls_when_its_host_vanishes(
    two_hosts: tuple[str, str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The cable is cut without a reset; times, which are those of TCP, are printed."""
    first, second, address = two_hosts
    key = certificate(tmp_path, address)
    enter = ["ip", "netns", "exec"]
    with postgres_server(address, [*enter, first], key) as server:
        parameters = {"sslmode": "verify-full", "sslrootcert": str(key)}
        url = server.url(server.database().database, **parameters)
        with locker(url, *enter, second) as process:
            assert holder(server, url)
            cut = ["ip", "-n", first, "link", "set", f"h{os.getpid() % 100000}a", "down"]
            subprocess.run(cut, check=True)
            before = time.monotonic()
            while holder(server, url):
                time.sleep(0.2)
            after = time.monotonic() - before
            process.kill()
    with capsys.disabled():
        sys.stdout.write(f"\nthe lock of a host that vanished fell after {after:.0f} s\n")
    # TCP's default is two hours; a busy host may be late.
    assert after < 300


def test_psycopg_is_imported_by_no_history_in_a_file(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from harness.history.database import Database; "
        "Database.open(Path('history.sqlite')); print('psycopg' in sys.modules)"
    )
    words = [sys.executable, "-c", code]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
    assert psycopg.__name__ in sys.modules
