"""A SIPp's message log reads as the messages that it holds."""

from __future__ import annotations

from testbed.sipp import parse_messages

LOG = """----------------------------------------------- 2026-11-24T03:38:26.860334Z
UDP message received [372] bytes:

SIP/2.0 200 OK
Via: SIP/2.0/UDP 127.0.0.1:24007;branch=z9hG4bK-1
CSeq: 2 INVITE
Content-Type: application/sdp

v=0
m=audio 25000 RTP/AVP 8 101
m=video 0 RTP/AVP 99

----------------------------------------------- 2026-11-24T03:38:26.860385Z
UDP message sent [274] bytes:

ACK sip:1@teledom SIP/2.0
Reason: SIP;cause=200
CSeq: 2 ACK
Content-Length: 0

"""


def test_messages_are_read_with_their_direction_headers_and_media() -> None:
    answer, ack = parse_messages(LOG)

    assert (answer.sent, answer.code, answer.method) == (False, 200, "")
    assert answer.media("audio") == "m=audio 25000 RTP/AVP 8 101"
    assert answer.media("video") == ""  # refused: port 0
    assert (ack.sent, ack.code, ack.method) == (True, 0, "ACK")
    assert ack.header("reason") == "SIP;cause=200"


def test_an_empty_log_holds_no_messages() -> None:
    assert parse_messages("") == ()
