"""Which headers of two runs can be compared at all, and which by their value too."""

from __future__ import annotations


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Other each time by their nature, or told of in other words (User-Agent, Server).
OWN_EACH_TIME = _words(
    "via from to call-id cseq contact content-length date max-forwards route record-route "
    "authorization proxy-authorization www-authenticate proxy-authenticate authentication-info "
    "proxy-authentication-info user-agent server timestamp rseq rack session-id x-call-id call-info "
    "identity path service-route p-charging-vector"
)
# Of these the value matters as well; of all others only whether they are there.
VALUE_MATTERS = _words(
    "accept allow allow-events alert-info content-type diversion event expires geolocation "
    "history-info min-expires min-se organization p-access-network-info p-asserted-identity "
    "p-called-party-id p-early-media p-preferred-identity privacy reason referred-by remote-party-id "
    "replaces require proxy-require retry-after session-expires subject supported unsupported warning"
)
