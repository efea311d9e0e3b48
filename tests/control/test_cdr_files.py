"""Call detail records as files: those of other systems read in, all given out, and what calls cost."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import AsyncIterator
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest

from callwright.control.accounts.model import Identity, Role
from callwright.control.app import create_app
from callwright.control.cdrs.foreign import read
from callwright.control.cdrs.rates import Rate, Tariff, read_rates
from callwright.control.services import Services, Settings
from callwright.dispatch.messages.calls import CallNews, CallStep
from callwright.net.clock import ManualClock

UTC, VIENNA = ZoneInfo("UTC"), ZoneInfo("Europe/Vienna")
#: As cdr_csv writes it: no heading.
ASTERISK = (
    '"","2001","0043123","internal","""Ann"" <2001>","PJSIP/2001-00000001","PJSIP/trunk-00000002","Dial",'
    '"PJSIP/0043123@trunk","2026-11-29 10:00:00","2026-11-29 10:00:05","2026-11-29 10:01:35",95,90,'
    '"ANSWERED","DOCUMENTATION","1764406800.1",""\n'
    '"","2002","2003","internal","<2002>","PJSIP/2002-3","","Dial","x","2026-11-29 10:02:00",,'
    '"2026-11-29 10:02:20",20,0,"NO ANSWER","DOCUMENTATION","1764406920.7",""\n'
)
PROFILE = {
    "caller_id_name": "Ann%20A",
    "caller_id_number": "2001",
    "destination_number": "0043123",
    "context": "public",
}
FREESWITCH = {
    "core-uuid": "c",
    "variables": {
        "uuid": "5f1e",
        "direction": "outbound",
        "start_epoch": "1764410400",
        "answer_epoch": "1764410403",
        "duration": "33",
        "billsec": "30",
        "hangup_cause": "NORMAL_CLEARING",
        "hangup_cause_q850": "16",
        "sip_call_id": "abc%40host",
        "sip_user_agent": "Desk%20Phone",
        "read_codec": "PCMA",
    },
    "callflow": [{"caller_profile": PROFILE}],
}
KAMAILIO = """id,method,from_tag,to_tag,callid,sip_code,sip_reason,time,src_user,dst_ouser,dst_domain
1,INVITE,a,b,one@host,200,OK,2026-11-29 10:00:00,2001,0043123,example.com
2,ACK,a,b,one@host,200,OK,2026-11-29 10:00:00,2001,0043123,example.com
3,INVITE,c,d,two@host,486,Busy Here,2026-11-29 10:00:10,2002,2003,example.com
4,BYE,b,a,one@host,200,OK,2026-11-29 10:01:30,,,
"""


def test_a_file_of_asterisk_is_read_with_its_times_in_the_zone_that_is_named() -> None:
    (talk, missed), wrong = read("asterisk", ASTERISK, VIENNA)
    assert wrong == []
    assert (talk.src, talk.dst, talk.src_name, talk.clid) == ("2001", "0043123", "Ann", '"Ann" <2001>')
    assert (talk.duration, talk.billsec, talk.disposition, talk.t_cause) == (95, 90, "ANSWERED", 16)
    assert talk.calldate == 1_795_942_800.0  # 09:00:00 UTC
    assert read("asterisk", ASTERISK, UTC)[0][0].calldate == talk.calldate + 3_600
    assert (missed.disposition, missed.billsec, missed.src_name) == ("NO ANSWER", 0, "")
    heading = "src,dst,start,duration,billsec,disposition,uniqueid\n1,2,2026-11-29 10:00:00,3,0,BUSY,u"
    (busy,), wrong = read("asterisk", heading, UTC)
    assert (busy.live_id, busy.disposition, wrong) == ("asterisk:u", "BUSY", [])


ONE = json.dumps(FREESWITCH)


@pytest.mark.parametrize("text", [ONE, f"[{ONE}]", f"{ONE}\n{ONE}\n"])
def test_records_of_freeswitch_are_read_alone_in_a_list_or_one_a_line(text: str) -> None:
    (one,), wrong = read("freeswitch", text, UTC)
    assert wrong == []
    assert (one.call_id, one.src, one.src_name, one.dst) == ("abc@host", "2001", "Ann A", "0043123")
    assert (one.calldate, one.duration, one.billsec, one.disposition) == (1_764_410_400.0, 33, 30, "ANSWERED")
    assert (one.src_ua, one.src_codec, one.context) == ("Desk Phone", "PCMA", "public")


def test_an_invite_and_its_bye_in_the_table_of_kamailio_make_one_record() -> None:
    (talk, busy), wrong = read("kamailio", KAMAILIO, UTC)
    assert wrong == []
    assert (talk.call_id, talk.src, talk.destination, talk.billsec) == ("one@host", "2001", "0043123", 90)
    assert (talk.disposition, talk.t_cause) == ("ANSWERED", 16)
    assert (busy.disposition, busy.t_cause, busy.info) == ("BUSY", 17, "486 Busy Here")
    without = "".join(KAMAILIO.splitlines(keepends=True)[:-1])
    assert "no BYE" in read("kamailio", without, UTC)[0][0].info


@pytest.mark.parametrize(
    ("form", "text", "line", "says"),
    [
        ("asterisk", ASTERISK.replace(",90,", ",ninety,"), 1, "billsec is a whole number, not 'ninety'"),
        ("asterisk", ASTERISK.replace("NO ANSWER", "PERHAPS"), 2, "disposition is 'PERHAPS'"),
        ("asterisk", ASTERISK.replace("2026-11-29 10:02:00", "yesterday"), 2, "start is a date"),
        ("asterisk", ASTERISK + "a,b,c\n", 3, "3 cells"),
        ("asterisk", ASTERISK.replace("0043123", "1" * 300), 1, "longer than 255"),
        ("freeswitch", json.dumps(FREESWITCH) + "\n{]\n", 2, "This is no JSON"),
        ("freeswitch", "{}", 1, "an object 'variables'"),
        ("freeswitch", "[1]", 1, "an object 'variables'"),
        ("freeswitch", "[" * 100_000, 1, "JSON"),
        ("kamailio", KAMAILIO.replace(",486,", ",4x6,"), 4, "sip_code is a whole number"),
        ("kamailio", "a,b\n1,2\n", 1, "heading"),
    ],
)
def test_what_is_wrong_with_a_file_is_told_by_line(form: str, text: str, line: int, says: str) -> None:
    _, wrong = read(form, text, UTC)
    assert [(one.line, says in one.message) for one in wrong[:1]] == [(line, True)], wrong


def test_the_longest_prefix_decides_and_billing_goes_in_steps() -> None:
    rates, wrong = read_rates(
        "prefix,name,rate,connect,first,next\n43,Austria,0.06,,60,60\n+43664,Mobile,0.12,0.05,30,6\n"
    )
    assert wrong == []
    tariff = Tariff(rates)
    numbers = ("0043123", "+43123", "43123", "004366412", "+4366412", "2001", "")
    names = [found.name if (found := tariff.rate_of(number)) else None for number in numbers]
    assert names == ["Austria", "Austria", "Austria", "Mobile", "Mobile", None, None]
    land, mobile = rates
    assert [land.charge(talk) for talk in (1, 60, 61, 120)] == [0.06, 0.06, 0.12, 0.12]
    assert [mobile.charge(talk) for talk in (1, 30, 31, 36, 37)] == [0.11, 0.11, 0.122, 0.122, 0.134]
    assert Rate("1", "", 0.1).charge(7) == 0.011667
    for text, line in (("prefix,rate\nx,1\n", 2), ("prefix,rate\n1,1\n1,2\n", 3), ("a,b\n", 1)):
        assert [one.line for one in read_rates(text)[1]] == [line], text


@pytest.fixture
async def api(services: Services, admin: Identity) -> AsyncIterator[httpx.AsyncClient]:
    auth = await services.keys.create("test", await services.accounts.user(admin.user_id))
    transport = httpx.ASGITransport(app=create_app(services, Settings(rate_limit=0)))
    base = "http://here/v1.2/voipstudio"
    async with httpx.AsyncClient(transport=transport, base_url=base, auth=auth) as client:
        yield client


async def test_a_file_is_read_in_once_and_its_errors_are_told(api: httpx.AsyncClient) -> None:
    text = ASTERISK + ASTERISK.replace("NO ANSWER", "PERHAPS").splitlines()[1]
    for imported, already in ((2, 0), (0, 2)):
        answer = await api.post("/cdrs/import?format=asterisk&time_zone=Europe/Vienna", content=text)
        assert answer.status_code == 200
        told = answer.json()["data"]
        assert (told["imported"], told["already_there"]) == (imported, already)
        assert [one["line"] for one in told["errors"]] == [3]
    rows = (await api.get("/cdrs")).json()
    assert rows["total"] == 2
    assert rows["data"][0]["calldate"] == "2026-11-29 09:00:00"
    assert rows["data"][0]["metadata"]["system"] == "asterisk"
    for query in ("format=cisco", "format=asterisk&time_zone=Mars/Base", "format=asterisk&zone=UTC"):
        assert (await api.post(f"/cdrs/import?{query}", content=text)).status_code == 400, query


async def test_calls_are_rated_as_they_end_and_anew_on_request(
    api: httpx.AsyncClient, services: Services
) -> None:
    await api.post("/cdrs/import?format=asterisk", content=ASTERISK)
    assert (await api.get("/cdrs/1")).json()["data"]["charge"] is None
    table = "prefix,rate,first,next\n43,0.06,60,60\n"
    assert (await api.put("/rates", content=table)).json()["data"] == {"prefixes": 1}
    refused = await api.put("/rates", content="prefix,rate\nx,1\n")
    assert refused.status_code == 400
    assert refused.json()["errors"][0]["field"] == "line 2"
    assert (await api.get("/rates")).json()["total"] == 1
    assert (await api.post("/cdrs/rate")).json()["data"] == {"rated": 1}
    row = (await api.get("/cdrs/1")).json()["data"]
    assert (row["rate"], row["charge"]) == (0.06, 0.12)
    ended = CallNews("n", CallStep.ENDED, "2001", "0043999", "n@x", 1_700_000_000.0)
    await services.cdrs.note([ended], {})
    row = (await api.get("/cdrs/3")).json()["data"]
    assert (row["type"], row["rate"], row["charge"]) == ("O", 0.06, 0.0)
    await api.put("/rates", content="prefix,rate\n")
    assert (await api.post("/cdrs/rate")).json()["data"] == {"rated": 0}
    assert (await api.get("/cdrs/1")).json()["data"]["charge"] is None


async def test_everything_is_given_out_a_thousand_at_a_time_as_csv_and_as_json_lines(
    api: httpx.AsyncClient, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = ASTERISK.splitlines(keepends=True)[0]
    many = "".join(line.replace("1764406800.1", f"u{n}") for n in range(2_300))
    await api.post("/cdrs/import?format=asterisk", content=many)
    asked: list[int] = []
    after = services.stores.cdrs.cdrs_after

    async def counted(where: Any, last: int, limit: int, **more: Any) -> Any:
        asked.append(limit)
        return await after(where, last, limit, **more)

    monkeypatch.setattr(services.stores.cdrs, "cdrs_after", counted)
    answer = await api.get("/cdrs/export?format=csv&fields[cdrs]=id,src,calldate,metadata")
    assert answer.headers["content-type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [int(row["id"]) for row in rows] == list(range(1, 2_301))
    assert rows[0]["calldate"] == "2026-11-29 10:00:00"
    assert json.loads(rows[0]["metadata"])["system"] == "asterisk"
    assert asked == [1_000] * 4  # the last is empty
    few = json.dumps([{"property": "id", "operator": ">", "value": 2_298}])
    answer = await api.get("/cdrs/export", params={"format": "jsonl", "filter": few})
    found = [json.loads(line) for line in answer.text.splitlines()]
    assert [row["id"] for row in found] == [2_299, 2_300]
    assert (await api.get("/cdrs", params={"filter": few})).json()["data"] == found
    for query in ("format=xml", "limit=5", "group_by=src", 'filter=[{"property":"nothing"}]'):
        assert (await api.get(f"/cdrs/export?{query}")).status_code == 400, query


async def test_a_name_that_a_spreadsheet_would_compute_is_text_in_the_csv(
    api: httpx.AsyncClient, services: Services
) -> None:
    news = CallNews("n", CallStep.ENDED, "2001", "+43 664", "n@x", 1_700_000_000.0, caller_name="=cmd|x")
    await services.cdrs.note([news], {})
    (row,) = csv.DictReader(io.StringIO((await api.get("/cdrs/export")).text))
    assert (row["src_name"], row["destination"]) == ("'=cmd|x", "+43 664")
    (line,) = (await api.get("/cdrs/export?format=jsonl")).text.splitlines()
    assert json.loads(line)["src_name"] == "=cmd|x"


async def test_notes_are_counted_and_belong_to_who_sees_the_record(
    api: httpx.AsyncClient, services: Services, admin: Identity
) -> None:
    await api.post("/cdrs/import?format=asterisk", content=ASTERISK)
    made = await api.post("/cdrs/1/notes", json={"text": " echo on the far end "})
    assert made.status_code == 201
    note = made.json()["data"]
    assert note.keys() == {"id", "cdr_id", "text", "username", "created_at"}
    assert (note["text"], note["username"]) == ("echo on the far end", "ana")
    assert (await api.get("/cdrs/1")).json()["data"]["nb_notes"] == 1
    assert (await api.get("/cdrs/1/notes")).json() == {"data": [note], "total": 1}
    ben = await services.accounts.create_user(admin, username="ben", password=None, role=Role.MEMBER)
    token, _ = await services.keys.create_token(
        await services.accounts.identity(ben.id, ben.username, ben.role), "x"
    )
    theirs = {"X-Auth-Token": token}
    for method, path in (("GET", "/cdrs/1/notes"), ("POST", "/cdrs/1/notes"), ("DELETE", "/cdrs/1/notes/1")):
        refused = await api.request(method, path, json={"text": "x"}, headers=theirs)
        assert refused.status_code == 404, (method, path)
    for method, path in (("POST", "/cdrs/import?format=asterisk"), ("PUT", "/rates"), ("POST", "/cdrs/rate")):
        assert (await api.request(method, path, content="x", headers=theirs)).status_code == 403, path
    assert (await api.delete("/cdrs/1/notes/99")).status_code == 404
    assert (await api.delete(f"/cdrs/1/notes/{note['id']}")).status_code == 204
    assert (await api.get("/cdrs/1")).json()["data"]["nb_notes"] == 0
    await api.post("/cdrs/2/notes", json={"text": "x"})
    assert (await api.delete("/cdrs/1,2")).status_code == 204


async def test_records_that_are_kept_for_ever_are_not_forgotten_and_others_are(
    services: Services, clock: ManualClock
) -> None:
    await services.cdrs.note([CallNews("n", CallStep.ENDED, "1", "2", "n@x", clock.wall())], {})
    assert await services.cdrs.forget_old() == 0
    services.cdrs.retention = 86_400.0
    clock.advance(86_399)
    assert await services.cdrs.forget_old() == 0
    clock.advance(2)
    assert [await services.cdrs.forget_old() for _ in range(2)] == [1, 0]
