from __future__ import annotations

import pytest

from callwright.srtp.key_file import HEADING, KeyLine, KeysAgreed, read_keys
from callwright.srtp.suite import StreamKeys

CM = "AES_CM_128_HMAC_SHA1_80"
KEYS = StreamKeys(CM, bytes(range(30)), bytes(30))


@pytest.mark.parametrize("host", ["192.0.2.1", "2001:db8::1"])
def test_a_file_of_keys_is_read_as_it_was_written(host: str) -> None:
    agreed = KeysAgreed("call-1", 1764410000.25, (host, 20_000), ("198.51.100.7", 30_000), KEYS)
    sent, received = read_keys(HEADING + agreed.lines() + "\n")
    assert sent == KeyLine("call-1", 1764410000.25, (host, 20_000), ("198.51.100.7", 30_000), CM, KEYS.send)
    assert (received.source, received.target) == (sent.target, sent.source)
    assert received.key == KEYS.receive


@pytest.mark.parametrize(
    "line",
    ["x", f"c 1 sent 1.2.3.4:5 1.2.3.4:6 {CM} inline:AAAA", "c 1 sent 1.2.3.4:5 1.2.3.4:6 NULL inline:AAAA"],
)
def test_another_line_is_refused_by_its_number_without_its_key(line: str) -> None:
    with pytest.raises(ValueError, match="line 2 is no line of keys") as caught:
        list(read_keys(HEADING + line))
    assert "AAAA" not in str(caught.value)
