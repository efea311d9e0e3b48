"""Flags of `callwright load` that would be of no effect beside the others are refused."""

from __future__ import annotations

import pytest

from callwright.cli.load_setup import load_uri, refuse_conflicts
from callwright.host.operator import Refused


@pytest.mark.parametrize("flag", ["listen", "ring-time", "reject", "challenge"])
def test_what_the_answering_side_does_is_refused_of_the_calling_side(flag: str) -> None:
    with pytest.raises(Refused, match=f"--{flag} is for the other side, --answer"):
        refuse_conflicts({flag: 1, "rate": 5.0}, answer=False)
    refuse_conflicts({flag: 1}, answer=True)


@pytest.mark.parametrize(
    "flag", ["rate", "ramp", "steps", "concurrent", "accounts", "register", "find-capacity"]
)
def test_what_the_calling_side_does_is_refused_of_the_answering_side(flag: str) -> None:
    with pytest.raises(Refused, match=f"--{flag} is for the side that calls"):
        refuse_conflicts({flag: 1, "listen": "127.0.0.1:5080"}, answer=True)
    refuse_conflicts({flag: 1}, answer=False)


@pytest.mark.parametrize("flag", ["ramp", "steps", "calls", "for", "fail-if"])
def test_a_search_for_the_capacity_has_a_plan_of_its_own(flag: str) -> None:
    with pytest.raises(Refused, match=f"--find-capacity and --{flag} exclude each other"):
        refuse_conflicts({"find-capacity": "asr>=99%", flag: 1}, answer=False)
    refuse_conflicts({"find-capacity": "asr>=99%", "rate": 10.0, "concurrent": 5, flag: None}, answer=False)


def test_the_uri_of_a_load_may_name_columns_and_must_be_one() -> None:
    assert load_uri("{number}@pbx.example.com") == "sip:{number}@pbx.example.com"
    assert load_uri("sip:{number}@{server}:5070") == "sip:{number}@{server}:5070"
    with pytest.raises(Refused, match="is not a SIP URI"):
        load_uri("sip:a b@pbx.example.com")
