"""Status codes and methods by name (IANA registry "Session Initiation Protocol (SIP) Parameters")."""

from __future__ import annotations

KNOWN_METHODS = frozenset(
    [
        "INVITE",
        "ACK",
        "BYE",
        "CANCEL",
        "OPTIONS",
        "REGISTER",
        "PRACK",
        "SUBSCRIBE",
        "NOTIFY",
        "PUBLISH",
        "INFO",
        "REFER",
        "MESSAGE",
        "UPDATE",
    ]
)
"""Every method of the registry."""

REASON_PHRASES: dict[int, str] = {
    100: "Trying",
    180: "Ringing",
    181: "Call Is Being Forwarded",
    182: "Queued",
    183: "Session Progress",
    199: "Early Dialog Terminated",
    200: "OK",
    202: "Accepted",
    204: "No Notification",
    300: "Multiple Choices",
    301: "Moved Permanently",
    302: "Moved Temporarily",
    305: "Use Proxy",
    380: "Alternative Service",
    400: "Bad Request",
    401: "Unauthorized",
    402: "Payment Required",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    406: "Not Acceptable",
    407: "Proxy Authentication Required",
    408: "Request Timeout",
    410: "Gone",
    412: "Conditional Request Failed",
    413: "Request Entity Too Large",
    414: "Request-URI Too Long",
    415: "Unsupported Media Type",
    416: "Unsupported URI Scheme",
    417: "Unknown Resource-Priority",
    420: "Bad Extension",
    421: "Extension Required",
    422: "Session Interval Too Small",
    423: "Interval Too Brief",
    424: "Bad Location Information",
    425: "Bad Alert Message",
    428: "Use Identity Header",
    429: "Provide Referrer Identity",
    430: "Flow Failed",
    433: "Anonymity Disallowed",
    436: "Bad Identity Info",
    437: "Unsupported Credential",
    438: "Invalid Identity Header",
    439: "First Hop Lacks Outbound Support",
    440: "Max-Breadth Exceeded",
    469: "Bad Info Package",
    470: "Consent Needed",
    480: "Temporarily Unavailable",
    481: "Call/Transaction Does Not Exist",
    482: "Loop Detected",
    483: "Too Many Hops",
    484: "Address Incomplete",
    485: "Ambiguous",
    486: "Busy Here",
    487: "Request Terminated",
    488: "Not Acceptable Here",
    489: "Bad Event",
    491: "Request Pending",
    493: "Undecipherable",
    494: "Security Agreement Required",
    500: "Server Internal Error",
    501: "Not Implemented",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Server Time-out",
    505: "Version Not Supported",
    513: "Message Too Large",
    555: "Push Notification Service Not Supported",
    580: "Precondition Failure",
    600: "Busy Everywhere",
    603: "Decline",
    604: "Does Not Exist Anywhere",
    606: "Not Acceptable",
    607: "Unwanted",
    608: "Rejected",
}

_CLASSES = {
    1: "Progress",
    2: "Success",
    3: "Redirection",
    4: "Request Failure",
    5: "Server Failure",
    6: "Global Failure",
}


def reason_phrase(status: int) -> str:
    """The registered reason phrase of a status, or the name of its class for one that is not registered."""
    return REASON_PHRASES.get(status) or _CLASSES.get(status // 100, "Unknown")


def named_status(status: int, phrase: str | None = None) -> str:
    """``486 Busy Here`` for sentences; the peer's own `phrase` where the status is not registered."""
    return f"{status} {REASON_PHRASES.get(status) or phrase or ''}".rstrip()


OPTION_TAGS = frozenset(
    [
        "100rel",
        "199",
        "answermode",
        "early-session",
        "eventlist",
        "explicitsub",
        "from-change",
        "geolocation-http",
        "geolocation-sip",
        "gin",
        "gruu",
        "histinfo",
        "ice",
        "join",
        "multiple-refer",
        "norefersub",
        "nosub",
        "outbound",
        "path",
        "policy",
        "precondition",
        "pref",
        "privacy",
        "recipient-list-invite",
        "recipient-list-message",
        "recipient-list-subscribe",
        "record-aware",
        "replaces",
        "resource-priority",
        "sdp-anat",
        "sec-agree",
        "siprec",
        "tdialog",
        "timer",
        "trickle-ice",
        "uui",
    ]
)
"""Every option tag of the registry."""
