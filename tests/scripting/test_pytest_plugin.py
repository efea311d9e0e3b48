"""The pytest plug-in, in a pytest of its own: what is collected, what a failure shows, what fixtures give."""

from __future__ import annotations

import re
import subprocess
import sys
from xml.etree import ElementTree

import pytest

from tests.scripting.test_documented_examples import FILES, ROOT

pytest_plugins = ["pytester"]

DOCUMENTS = {
    "busy": """
        name: busy
        steps:
          - - register: {party: bob}
            - accept: {party: bob, reject: 486}
          - - call: {party: alice, dial_destination: bob}
        """,
    "mistake": """
        name: mistake
        steps:
          - - cal: {party: alice}
        """,
    "far": """
        name: far
        steps:
          - - options: {party: alice, destination: "sip:203.0.113.9"}
        """,
    "somewhere": """
        name: somewhere
        steps:
          - - options: {party: alice, destination: "sip:192.0.2.1"}
        """,
    "named": """
        name: named
        parties: {alice: {credentials: office}}
        steps:
          - - options: {party: alice, destination: "sip:127.0.0.1:9"}
        """,
}
FIXTURES = """
    import socket

    import pytest


    @pytest.fixture
    def pbx_accounts():
        return {"7": "seven"}


    def test_a_pbx_answers_without_asyncio(pbx):
        assert pbx.accounts == {"7": "seven"}
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
            peer.settimeout(5)
            peer.bind(("127.0.0.1", 0))
            peer.sendto(
                f"OPTIONS sip:{pbx} SIP/2.0\\r\\nVia: SIP/2.0/UDP 127.0.0.1:{peer.getsockname()[1]}"
                ";branch=z9hG4bK1\\r\\nMax-Forwards: 9\\r\\nFrom: <sip:a@b>;tag=1\\r\\n"
                f"To: <sip:{pbx}>\\r\\nCall-ID: 1\\r\\nCSeq: 1 OPTIONS\\r\\n"
                "Content-Length: 0\\r\\n\\r\\n".encode(),
                (pbx.host, pbx.port),
            )
            assert peer.recv(4096).startswith(b"SIP/2.0 ")


    def test_a_phone_needs_an_account_of_the_pbx(phone):
        with pytest.raises(ValueError, match="no account '8'. Its accounts: 7"):
            phone("8")


    async def test_a_phone_that_cannot_register_fails_its_test(phone):
        async with phone("7", password="wrong"):
            pass


    def test_a_document_lies_beside_its_test(callwright_run):
        outcome = callwright_run("busy.callwright.yaml")
        assert outcome.verdict == "passed"


    async def test_a_loop_is_not_blocked(callwright_run):
        callwright_run("basic_call")
    """


def test_the_documented_files_pass(pytester: pytest.Pytester) -> None:
    for name, text in FILES.items():
        if name != "conftest.py":  # it names a PBX that only its reader has
            (pytester.path / name).write_text(text)
    assert len(FILES) == 3
    pytester.runpytest_subprocess("-p", "no:cacheprovider").assert_outcomes(passed=3)


def test_a_failure_is_a_verdict_and_not_a_traceback(pytester: pytest.Pytester) -> None:
    for name, text in DOCUMENTS.items():
        pytester.makefile(".callwright.yaml", **{name: text})
    pytester.makeini(
        """
        [pytest]
        callwright_allow = 198.51.100.0/24
        callwright_credentials = accounts.yaml
        """
    )
    pytester.makefile(".yaml", accounts="office: {user: 4101, password: very-secret}")
    done = pytester.runpytest_subprocess(
        "-p", "no:cacheprovider", "--junit-xml=j.xml", "--callwright-report=e"
    )
    done.assert_outcomes(failed=5)
    shown = done.stdout.str()
    assert "Traceback" not in shown
    assert ".py:" not in shown
    assert "✘ Failed. Bob refused the call with 486 Busy Here" in shown
    assert re.search(r"◀─+ 486 Busy Here ─+", shown), "the ladder"
    assert "FAILED busy.callwright.yaml::busy - failed (test): Bob refused" in shown
    assert "mistake.callwright.yaml: line 3, column 7: cal is not a kind of action" in shown
    assert "Add 203.0.113.9 to callwright_allow" in shown
    assert "very-secret" not in shown
    junit = ElementTree.parse(pytester.path / "j.xml").getroot()
    case = next(one for one in junit.iter("testcase") if one.get("name") == "busy")
    told = {one.get("name"): one.get("value") for one in case.iter("property")}
    assert (told["callwright_verdict"], told["callwright_blame"]) == ("failed", "test")
    assert case[1].get("message", "").startswith("failed (test): Bob refused the call")
    assert (pytester.path / "e" / "busy.callwright.yaml-busy" / "report.html").is_file()


def test_options_permit_a_place_and_override_documents(pytester: pytest.Pytester) -> None:
    pytester.makefile(".callwright.yaml", somewhere=DOCUMENTS["somewhere"])
    settings = ("-p", "no:cacheprovider", "--callwright-set", "step.0.0.destination=sip:127.0.0.1:9")
    done = pytester.runpytest_subprocess(*settings, "--callwright-set", "nonsense")
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    assert "ADDRESS=VALUE" in done.stderr.str()
    done = pytester.runpytest_subprocess(*settings)
    assert "Nothing listened at 127.0.0.1:9" in done.stdout.str()


def test_fixtures_say_what_they_cannot_do(pytester: pytest.Pytester) -> None:
    pytester.makefile(".callwright.yaml", busy=DOCUMENTS["busy"])
    pytester.makepyfile(FIXTURES)
    pytester.makeini("[pytest]\nasyncio_mode = auto\n")
    done = pytester.runpytest_subprocess("-p", "no:cacheprovider", "-k", "test_a")
    done.assert_outcomes(passed=2, failed=3, deselected=1)
    shown = done.stdout.str()
    assert "7 is not registered: " in shown
    assert "callwright call" in shown
    assert re.search(r"◀─+ 486 Busy Here ─+", shown), "the run's report"
    assert "write `await callwright.run(…)`" in shown


def test_pytest_is_needed_by_the_plugin_alone_which_imports_no_room() -> None:
    sources = ROOT / "src" / "callwright"
    importing = {
        str(path.relative_to(sources))
        for path in sources.rglob("*.py")
        if re.search(r"^\s*(import|from) _?pytest\b", path.read_text(encoding="utf-8"), re.M)
    }
    assert importing == {"pytest_plugin.py"}
    code = (
        "import sys, callwright.pytest_plugin as p;"
        "print(*sorted(n for n in sys.modules if n.startswith('callwright.')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["callwright.pytest_plugin"]
