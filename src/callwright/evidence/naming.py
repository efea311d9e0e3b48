"""Names for the lanes of a ladder and the calls of a report, taken from what the phones say of themselves."""

from __future__ import annotations

import dataclasses

from callwright.evidence.ladder import Ladder, MessageRow, StreamRow
from callwright.evidence.shown import one_line
from callwright.outcome.call import CallOutcome, ReceivedOutcome, StreamOutcome
from callwright.outcome.judgement import gap_in_words
from callwright.outcome.run import RunOutcome
from callwright.outcome.terms import Direction, Verdict
from callwright.outcome.tls import TlsOutcome
from callwright.quality.bands import band

_MOST_GAPS = 5
SILENCE = "silence"
"""Instead of a MOS, where packets came without a sound."""


def call_names(outcome: RunOutcome) -> dict[tuple[str, str], str]:
    """For `build_ladder`: who calls, registers and is called, by Call-ID."""
    found = {}
    for call in outcome.calls:
        if call.party and call.call_id:
            side = "caller" if call.direction is Direction.OUTGOING else "callee"
            found[one_line(call.call_id), side] = one_line(call.party, 40)
    for registration in outcome.registrations:
        for message in registration.messages if registration.party else ():
            for call_id in message.values("Call-ID"):
                found[one_line(call_id), "caller"] = one_line(registration.party or "", 40)
    return found


def named_calls(outcome: RunOutcome) -> list[tuple[str, CallOutcome]]:
    """Each call with the name of its party, told apart by a number where one party has several."""
    names = [one_line(call.party or _user(call.local) or "Callwright", 40) for call in outcome.calls]
    found: list[tuple[str, CallOutcome]] = []
    count: dict[str, int] = {}
    for name, call in zip(names, outcome.calls, strict=True):
        count[name] = count.get(name, 0) + 1
        found.append((f"{name} {count[name]}" if names.count(name) > 1 else name, call))
    return found


def heard_silence(call: CallOutcome) -> bool:
    """Whether packets came and none of them held a sound. Their MOS tells how they travelled, and nothing of
    what a person heard: it is shown as the transport's, without a band."""
    return call.received.without_sound


def came_short(stream: StreamOutcome) -> int | None:
    """Packets that were due and did not come: lost by number, and missing in gaps."""
    if stream.lost is None:
        return None
    return stream.lost + ((stream.missing or 0) if isinstance(stream, ReceivedOutcome) else 0)


def media_notes(name: str, call: CallOutcome) -> list[str]:
    """What a table of streams leaves out: gaps, DTX, and what was odd, in sentences."""
    found = []
    received = call.received
    if received.gaps and received.heard_pct is not None:
        told = [f"{gap_in_words(gap, call.duration_ms)} ({gap.why})" for gap in received.gaps[:_MOST_GAPS]]
        more = f" and {len(received.gaps) - _MOST_GAPS} more" if len(received.gaps) > _MOST_GAPS else ""
        found.append(f"{name} heard {received.heard_pct:.0f} %: silent from {', '.join(told)}{more}")
    if received.dtx_pct:
        found.append(f"{name}: the sender paused on purpose (DTX) for {received.dtx_pct:.0f} % of the call")
    if call.srtp is not None:
        found.append(f"{name}: encrypted with {call.srtp.suite}{_keys_changed(call.srtp.rekeyed)}")
    found += _way(name, call)
    return [*found, *(f"{name}: {remark}" for remark in call.remarks)]


def _way(name: str, call: CallOutcome) -> list[str]:
    """Which pair of candidates won, and whose certificate was seen, with how long each took."""
    found = []
    ice, dtls = call.ice, call.dtls
    if ice is not None and ice.local is not None:
        took = f" {ice.connected_ms:.0f} ms after offer and answer" if ice.connected_ms is not None else ""
        pair = f"{ice.local} ({ice.local_type}) to {ice.remote} ({ice.remote_type})"
        found.append(f"{name}: ICE chose {pair}{took}, as the {ice.role} side")
    elif ice is not None:
        found.append(
            f"{name}: ICE found no pair among {ice.local_candidates} candidates of ours and "
            f"{ice.remote_candidates} of the peer"
        )
    if dtls is not None and dtls.fingerprint is not None and dtls.handshake_ms is not None:
        found.append(
            f"{name}: DTLS took {dtls.handshake_ms:.0f} ms as {dtls.role}; the peer's certificate has the "
            f"fingerprint of its SDP, {dtls.fingerprint[:31]}…"
        )
    return found


def tls_in_words(tls: TlsOutcome) -> str:
    """The connection of the signalling, and until when its certificate is good."""
    found = tls.version
    if tls.not_after is not None and tls.days_left is not None:
        days = f"{tls.days_left:.0f} days"
        left = f"expired {days[1:]} ago" if tls.days_left < 0 else f"{days} left"
        found += f", certificate until {tls.not_after[:10]} ({left})"
    return found if tls.trusted or tls.not_after is None else f"{found}, not checked"


def _keys_changed(times: int | None) -> str:
    return f", keys changed {times} time{'' if times == 1 else 's'}" if times else ""


def has_media(call: CallOutcome) -> bool:
    """Whether there is anything to say about its audio: it was answered, or packets came or went."""
    return (call.answered and call.media_expected) or bool(call.received.packets or call.sent.packets)


def _user(uri: str | None) -> str:
    return (uri or "").rpartition("<")[2].removeprefix("sips:").removeprefix("sip:").partition("@")[0]


def with_quality(ladder: Ladder, outcome: RunOutcome) -> Ladder:
    """The ladder whose streams say how good they were, where a phone has measured just this one, and whose
    refusals are no trouble where they were expected: in a call, or a run, that passed."""
    by_id = {one_line(call.call_id): call for call in outcome.calls if call.call_id}
    lanes: dict[str, int] = {}
    for message in ladder.messages:
        call = by_id.get(message.call_id)
        if call is not None and message.label == "INVITE":
            outgoing = call.direction is Direction.OUTGOING
            lanes.setdefault(message.call_id, message.source if outgoing else message.destination)
    rows = []
    for row in ladder.rows:
        if isinstance(row, StreamRow):
            row = dataclasses.replace(row, note=_quality(row, ladder, by_id, lanes))
        elif isinstance(row, MessageRow) and row.trouble and _expected(row, outcome, by_id):
            row = dataclasses.replace(row, trouble=False)
        rows.append(row)
    return dataclasses.replace(ladder, rows=tuple(rows))


def _expected(row: MessageRow, outcome: RunOutcome, calls: dict[str, CallOutcome]) -> bool:
    """A refusal that did no harm; a message that got lost or is malformed stays what it is."""
    if row.status is None or row.status < 300 or row.lost:
        return False
    call = calls.get(row.call_id)
    return outcome.verdict is Verdict.PASSED or (call is not None and call.verdict is Verdict.PASSED)


def _quality(row: StreamRow, ladder: Ladder, calls: dict[str, CallOutcome], lanes: dict[str, int]) -> str:
    counted = f"{row.packets:,} packets" if row.lost is None else f"{row.lost:,} of {row.expected:,} lost"
    if row.out_of_reach:
        return f"{row.packets:,} lost"
    for call_id in row.call_ids:
        call = calls.get(call_id)
        if call is None or call_id not in lanes:
            continue
        alone = (
            sum(
                s.destination == row.destination and s.source == row.source and call_id in s.call_ids
                for s in ladder.streams
            )
            == 1
        )
        to_us = lanes.get(call_id) == row.destination
        if alone and to_us and heard_silence(call):
            return SILENCE
        stream = call.received if to_us else call.sent
        if alone and stream.mos is not None:
            return f"MOS {stream.mos:.2f} {band(stream.mos).name}"
    return counted
