"""Names and sizes that the native loop shares with Python.

`setup.py` makes the enumerations of the native code of them before it compiles: nothing may be imported here.
"""

from __future__ import annotations

OUTCOMES = (
    "answered",
    "canceled",
    "timeout",  # no response at all in 64·T1
    "no_answer",  # rang for too long, or 2xx after we gave up
    "bye_timeout",  # answered, but its BYE was not
    "refused",  # ICMP port unreachable
    "unreachable",  # another ICMP error, or no way there
    "unexpected",  # a 2xx without tag or Contact, and the like
    "no_port",  # the range of RTP ports was exhausted
    "no_ack",  # we answered and never saw the ACK
    "no_prack",  # we rang reliably and never saw the PRACK
    "expired",  # answered, but its session was not refreshed in time
    "no_media",  # answered, and no RTP packet with audio came
    "media_gaps",  # answered, and less than `MediaConfig.min_heard` of the call was without a gap
    "status",  # a final response other than 2xx; `codes` says which
)
"""How a call ended. The first is a success, the second is nobody's failure, all others are failures."""

COUNTERS = (
    *OUTCOMES,
    "attempted",
    "established",  # a 2xx was received, or sent
    "confirmed",  # answering side: the ACK came
    "active",
    "peak",
    "sent",  # SIP messages
    "received",
    "resent",
    "repeated",  # what the other side sent again
    "malformed",
    "stray",  # belongs to no call of ours
    "drops",  # datagrams that the kernel dropped for want of buffer (SO_RXQ_OVFL)
    "send_errors",
    "send_blocked",
    "retry_after",  # responses with Retry-After
    "retry_after_max",  # seconds
    "challenged",
    "registered",
    "hung_up",  # by the other side
    "abandoned",  # not ended when the time for stopping was over; counted as failed or canceled as well
    "withheld",  # calls due, but as many were under way as permitted
    "turns",
    "late",  # calls placed more than 20 ms after they were due
    "rtp_sent",
    "rtp_received",
    "rtp_lost",
    "rtp_discarded",
    "rtp_duplicated",
    "rtp_reordered",
    "rtp_unmatched",
    "rtp_send_errors",
    "streams",
    "streams_peak",
    "media_drops",
    "streams_ended",
    "streams_silent",
    "streams_moved",  # they went on from another address, and we follow them there
    "rtp_gaps",  # half a second or more without a packet, where audio was due
    "rtp_due_ms",  # time in which audio was due
    "rtp_gap_ms",
    "rtp_dtx_ms",  # left out by the sender on purpose
    "reliable",  # provisional responses that a PRACK acknowledges: the caller's received, the answerer's sent
    "pracks",  # that acknowledged one; in repeats neither of the two is counted
    "pracks_failed",  # refused, or not answered in 64·T1
    "refreshed",  # sessions, by either side
    "brief",  # 422: a session that was too short for the other side, or for us
    "connections",  # of TCP and TLS: those that we opened
    "connections_accepted",
    "connections_failed",
    "handshakes",  # of TLS, on either side
    "encrypted",  # offers that we refused, since the audio in them is SRTP
    "registrations",  # REGISTER requests that the answering side took
    "registrations_failed",
    "cpu_ns",
    "latest_us",
)
HISTOGRAMS = (
    "pdd",
    "setup",
    "bye",
    "register",
    "lateness",
    "rtp_lateness",
    "jitter",
    "mos",
    "loss",
    "unheard",
    "connect",
    "handshake",
)
"""In microseconds, but `mos` in thousandths, `loss` (of a stream) and `unheard` (its time in gaps) in
hundredths of a percent."""
BUCKETS = 3072
MOS_LEAST = 1429
"""Thousandths: of MOS a bucket is one of these and up, so that a limit is held exactly."""

MESSAGES = (
    "invite",
    "ack",
    "ack_failed",
    "bye",
    "cancel",
    "register",
    "ringing",
    "ok",
    "empty",
    "hangup",
    "challenge",
    "registered",
    "prack",
    "update",
    "reinvite",
    "reliable",
    "reliable_offer",
    "ok_bare",
    "refreshed",
    "brief",
    "later",
    "unfit",
)
SLOTS = (
    "literal",
    "id",
    "branch",
    "cseq",
    "to",
    "target",
    "routes",
    "port",
    "ssrc",
    "field",
    "authorization",
    "number",
    "local",
    "call_id",
    "tag",
    "direction",
    "version",
    "rack",
    "rseq",
    "asked",
    "session",
    "expires",
)
"""Parts of a message that the loop fills in."""

FIRST_VERSION = 1_000_000_000
"""Of the SDP of a loop: ten digits, as many as it can rise to."""

LADDER_MESSAGES = 40
"""The most messages of one call that are kept."""
LADDERS = 256
"""The most calls of which a loop keeps the messages."""

WILL_SIZE = 4096
"""Octets for what ends one call (see `wills`)."""
WILL_TEXT = 2016
"""The most octets of a head in it."""
WILL_INVITE_AT, WILL_ANSWER_AT = 64, 2080
WILL_STATES = (
    "free",
    "called",  # the INVITE left, and no 2xx came
    "answered",
    "taken",  # a call that came in and that we answered
)

ENUMERATIONS = {
    "C": COUNTERS,
    "O": OUTCOMES,
    "H": HISTOGRAMS,
    "T": MESSAGES,
    "K": SLOTS,
    "WILL": WILL_STATES,
}
"""By the prefix that they have in the native code."""


def mos_value(index: int) -> int:
    """Thousandths of a bucket of MOS. The first holds all that are lower, and is taken for the lowest."""
    return MOS_LEAST + index if index else 1000


def bucket_of(value: int) -> int:
    """The histogram's bucket of a value."""
    if value < 256:
        return max(value, 0)
    shift = value.bit_length() - 8
    return min(128 * shift + (value >> shift), BUCKETS - 1)


def bucket_value(index: int) -> int:
    """The least value of a histogram's bucket."""
    if index < 256:
        return index
    shift = index // 128 - 1
    return (index - 128 * shift) << shift
