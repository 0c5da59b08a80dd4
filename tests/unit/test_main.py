"""The command line as a whole: its help, its manual, and how a bug of its own is told."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from harness.cli import main
from harness.cli.conventions import ENVIRONMENT, EXIT_CODES
from harness.cli.man import manual_page
from harness.cli.options import common_options

PLACES = pytest.mark.parametrize("place", main.COMMANDS, ids=[p.name for p in main.COMMANDS])


@PLACES
def test_help_says_of_a_command_what_it_says_itself(place: main._Entry) -> None:
    assert place.command().get_short_help_str(limit=200) == place.summary


@PLACES
def test_each_command_has_an_example(place: main._Entry) -> None:
    assert f"harness {place.name}" in (place.command().help or "")


def with_subcommands(path: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        for name, below in command.commands.items():
            yield from with_subcommands(f"{path} {name}", below)


def test_manual_page_has_every_command_and_option() -> None:
    page = manual_page(click.Context(main.cli, info_name="harness")).replace("\\-", "-")
    for place in main.COMMANDS:
        for path, command in with_subcommands(place.name, place.command()):
            section = page.partition(f".SS harness {path} ")[2].partition("\n.SS ")[0]
            for option in (each for each in command.params if not getattr(each, "hidden", False)):
                assert all(name in section for name in option.opts if name.startswith("--"))
    assert page.startswith(".TH HARNESS 1 ")


def test_manual_page_obeys_no_text_of_ours() -> None:
    page = manual_page(click.Context(main.cli, info_name="harness"))
    requests = set(re.findall(r"(?m)^[.'](\w+)", page))
    assert requests <= {"TH", "SH", "SS", "PP", "TP", "B", "nf", "fi"}


def test_help_and_manual_list_exit_codes_and_variables(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main.run(["--help"]) == 0
    told = " ".join(capsys.readouterr().out.split())
    page = manual_page(click.Context(main.cli, info_name="harness")).replace("\\-", "-")
    for name, meaning in (*EXIT_CODES, *ENVIRONMENT):
        assert f"{name} {meaning}" in told
        assert f".B {name}\n" in page
        assert meaning in page


@PLACES
def test_help_of_a_command_says_where_these_are(place: main._Entry) -> None:
    assert "harness --help" in str(place.command().epilog)


@PLACES
def test_help_fits_into_a_terminal_of_80_columns(place: main._Entry) -> None:
    for path, command in with_subcommands(place.name, place.command()):
        context = click.Context(command, info_name=f"harness {path}", max_content_width=80,
                                terminal_width=80)  # fmt: skip
        wide = [line for line in command.get_help(context).splitlines() if len(line) > 80]
        assert not wide


@pytest.mark.parametrize("words", [(), ("model",), ("nightly",), ("image",)])
def test_without_a_command_its_help_is_printed(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.run(words) == 2
    told = capsys.readouterr()
    assert told.err.startswith(f"Usage: {' '.join(('harness', *words))} ")
    assert told.out == ""


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("boot", "--nmua", "4"), "no such option '--nmua'"),
        (("image", "build", "--world", "nope"), "invalid value for '--world': 'nope' is not one"),
        (("kyua",), "missing argument 'SUITE...'"),
        (("ps", "nope"), "got unexpected extra argument (nope)"),
    ],
)
def test_wrong_arguments_are_told_in_the_form_of_all_errors(
    words: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.run(words) == 2
    first, last = capsys.readouterr().err.splitlines()
    assert first.startswith(f"harness: {message}")
    assert not first.endswith(".")
    assert re.fullmatch(r"  see harness( \w+)+ --help", last)


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (("bot",), "Did you mean 'boot'?"),
        (("compare-all",), "Did you mean 'compare'?"),
        (("xyzzy",), "There are doctor, build, image"),
        (("model", "predct"), "predict"),
        (("boot", "--nmua", "4"), "--numa"),
        (("check", "--sede", "4"), "--seed"),
    ],
)
def test_mistyped_word_is_answered_with_the_nearest(
    words: tuple[str, ...], hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.run(words) == 2
    assert hint in capsys.readouterr().err


@pytest.mark.parametrize(("flags", "code"), [((), 3), (("--git-bisect",), 128)])
def test_bug_is_one_line_and_a_file(
    flags: tuple[str, ...],
    code: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setattr(main, "COMMANDS", (main._Entry("no_such_module", ""),))
    assert main.run(["no_such_module", *flags]) == code
    told = capsys.readouterr().err
    assert "Traceback" not in told
    assert "bug in the harness" in told
    (report,) = (tmp_path / "harness" / "bugs").iterdir()
    assert str(report) in told
    text = report.read_text()
    assert "Traceback" in text
    assert "harness no_such_module" in text


def test_bug_is_told_in_full_if_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setattr(main, "COMMANDS", (main._Entry("no_such_module", ""),))
    main.run(["no_such_module", "-v"])
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize(("signum", "code"), [(2, 130), (15, 143), (1, 129)])
def test_a_signal_gives_the_exit_code_of_shells(
    signum: int, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Place(main._Entry):
        __slots__ = ()

        def command(self) -> click.Command:
            @click.command()
            @common_options
            def ended(app: object) -> None:
                raise main.Terminated(signum)

            return ended

    monkeypatch.setattr(main, "COMMANDS", (Place("ended", ""),))
    assert main.run(["ended"]) == code
    assert capsys.readouterr().out == ""
    assert main.run(["ended", "--json"]) == code
    error = json.loads(capsys.readouterr().out)["error"]
    assert (error["kind"], error["code"]) == ("interrupted", code)
