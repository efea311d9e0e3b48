"""Accounts from CSV, and a load described in a file."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from callwright.load.accounts import AccountsError, parse_accounts
from callwright.load.document import DocumentError, parse_flow
from callwright.sip.headers import COMPACT_NAMES, RESERVED


def test_columns_are_known_by_name_and_usable_in_texts() -> None:
    accounts = parse_accounts("username,password,number\n1001,secret,0043123\n1002,geheim,0043124\n")
    assert accounts.rows[1] == (b"1002", b"geheim", b"0043124")
    assert (accounts.user_column, accounts.password_column) == (0, 1)
    assert accounts.fill("sip:{number}@example.com") == "sip:{field:2}@example.com"


def test_semicolons_part_columns_too() -> None:
    assert parse_accounts("user;secret\na;b\n").rows == ((b"a", b"b"),)


def test_each_process_has_its_own_accounts() -> None:
    accounts = parse_accounts("user\n" + "".join(f"{n}\n" for n in range(5)))
    assert [len(accounts.part(n, 2).rows) for n in range(2)] == [3, 2]


@pytest.mark.parametrize(
    "text", ["", "user,password\n", "a,a\n1,2\n", "a,b\n1\n", "SEQUENTIAL\n1;2\n", "a b\n1\n", "a\n\x01\n"]
)
def test_what_holds_no_accounts_is_refused(text: str) -> None:
    with pytest.raises(AccountsError):
        parse_accounts(text)


def test_an_unknown_column_names_those_that_exist() -> None:
    with pytest.raises(AccountsError, match="user"):
        parse_accounts("user\n1\n").fill("{users}")


def test_a_flow_has_words_of_its_own() -> None:
    flow = parse_flow("hold: [1, 3]\nfrom: sip:{user}@example.com\nheaders: {X-Load: 'yes'}\n")
    assert (flow.hold, flow.hold_spread, flow.from_) == (1.0, 2.0, "sip:{user}@example.com")
    assert flow.headers == (("X-Load", "yes"),)


def test_every_problem_of_a_flow_is_told_at_once() -> None:
    with pytest.raises(DocumentError) as caught:
        parse_flow("hodl: 3\nflow: dance\nring_time: soon\n")
    assert len(caught.value.problems) == 3
    assert "did you mean 'hold'" in caught.value.problems[0]


@pytest.mark.parametrize(
    "name", sorted(RESERVED | {c for c, name in COMPACT_NAMES.items() if name in RESERVED})
)
@pytest.mark.parametrize("form", [str.lower, str.upper, str.title])
def test_a_header_that_the_call_writes_itself_is_refused_in_every_form(
    name: str, form: Callable[[str], str]
) -> None:
    with pytest.raises(DocumentError, match="is written by the call itself"):
        parse_flow(f"headers: {{{form(name)}: <sip:elsewhere@192.0.2.1>}}\n")


@pytest.mark.parametrize(
    "text",
    [
        'headers: {"X-A": "1\\r\\nContact: <sip:x@192.0.2.1>"}',
        'headers: {"X-A: 1": "2"}',
        'from: "sip:a@example.com\\r\\nX-A: 1"',
        'to: "sip:a@example.com> <sip:b@example.com"',
    ],
)
def test_no_text_of_a_flow_brings_a_header_along(text: str) -> None:
    with pytest.raises(DocumentError):
        parse_flow(text)


@pytest.mark.parametrize("text", ["- a", "3", "{a: [", "reject: 200"])
def test_what_describes_no_load_is_refused(text: str) -> None:
    with pytest.raises(DocumentError):
        parse_flow(text)
