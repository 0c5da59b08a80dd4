"""Option headers of kernel configurations, as config(8) writes them."""

from __future__ import annotations

import pytest

from harness.onhost.options import option_headers

TABLE = """\
# comment
NUMA\t\t\topt_global.h
INVARIANTS opt_global.h
DDB
MAXMEMDOM\topt_global.h\t# and more
HAMMER\topt_cpu.h
DEV_MEM\topt_mem.h
KDB_UNATTENDED\topt_kdb.h
NAME opt_name.h
"""


def headers(config: str, **files: str) -> dict[str, str]:
    return option_headers(config, [TABLE], files.get)


def test_there_is_a_header_for_each_of_the_table_and_most_are_empty() -> None:
    assert headers("") == dict.fromkeys(
        ("opt_global.h", "opt_ddb.h", "opt_cpu.h", "opt_mem.h", "opt_kdb.h", "opt_name.h"), ""
    )


@pytest.mark.parametrize(
    ("line", "header", "text"),
    [
        ("options NUMA", "opt_global.h", "#define NUMA 1\n"),
        ("options\t\tMAXMEMDOM=4   # four", "opt_global.h", "#define MAXMEMDOM 4\n"),
        ('options NAME="a b"', "opt_name.h", "#define NAME a b\n"),
        ("options DDB", "opt_ddb.h", "#define DDB 1\n"),
        ("cpu HAMMER", "opt_cpu.h", "#define HAMMER 1\n"),
        ("device mem", "opt_mem.h", "#define DEV_MEM 1\n"),
    ],
)
def test_a_line_sets_an_option(line: str, header: str, text: str) -> None:
    assert headers(line)[header] == text


def test_later_lines_beat_earlier_ones_and_includes_stand_where_they_are() -> None:
    config = "options MAXMEMDOM=2\ninclude BASE\nnooptions DDB\nnodevice mem\n"
    base = "options MAXMEMDOM=8\noptions DDB\ndevice mem\n"
    found = headers(config, BASE=base)
    assert found["opt_global.h"] == "#define MAXMEMDOM 8\n"
    assert found["opt_ddb.h"] == found["opt_mem.h"] == ""


def test_a_configuration_that_includes_itself_ends() -> None:
    assert headers("include SELF", SELF="include SELF\noptions DDB")["opt_ddb.h"]


def test_options_can_be_left_out() -> None:
    found = option_headers(
        "options DDB\noptions NUMA", [TABLE], lambda _: None, frozenset({"NUMA"})
    )
    assert (found["opt_global.h"], found["opt_ddb.h"]) == ("", "#define DDB 1\n")


def test_what_the_table_does_not_have_is_in_no_header() -> None:
    assert not any(headers("options UNHEARD_OF=1").values())
