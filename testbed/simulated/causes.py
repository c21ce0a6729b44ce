"""Hangup causes (Q.850) and SIP codes, as Asterisk 22's PJSIP channel driver maps them.

All pairs were read off a running 22.10.1.
"""

from __future__ import annotations

CAUSE_TEXT = {
    0: "Unknown",
    1: "Unallocated (unassigned) number",
    3: "No route to destination",
    16: "Normal Clearing",
    17: "User busy",
    18: "No user responding",
    19: "User alerting, no answer",
    20: "Subscriber absent",
    21: "Call Rejected",
    22: "Number changed",
    26: "Answered elsewhere",
    27: "Destination out of order",
    28: "Invalid number format",
    29: "Facility rejected",
    31: "Normal, unspecified",
    34: "Circuit/channel congestion",
    38: "Network out of order",
    42: "Switching equipment congestion",
    58: "Bearer capability not available",
    127: "Interworking, unspecified",
}

# What `DELETE /channels/{id}?reason=` takes.
REASONS = {
    "normal": 16,
    "busy": 17,
    "congestion": 34,
    "no_answer": 19,
    "timeout": 18,
    "rejected": 21,
    "unallocated": 1,
    "normal_unspecified": 31,
    "number_incomplete": 28,
    "codec_mismatch": 58,
    "interworking": 127,
    "failure": 38,
    "answered_elsewhere": 26,
}

# The SIP code that stands for a cause; no entry: none is reported.
CAUSE_TO_SIP = {
    1: 404,
    3: 404,
    17: 486,
    18: 408,
    19: 480,
    20: 480,
    21: 403,
    22: 410,
    27: 502,
    28: 484,
    29: 501,
    31: 480,
    34: 503,
    38: 500,
    42: 503,
    58: 488,
    127: 500,
}

_SIP_TO_CAUSE = {
    403: 21,
    404: 1,
    408: 18,
    480: 19,
    484: 28,
    486: 17,
    487: 127,
    488: 58,
    500: 38,
    503: 34,
    600: 17,
    603: 21,
}


def sip_to_cause(code: int) -> int:
    """The Q.850 cause of a refused INVITE."""
    if code in _SIP_TO_CAUSE:
        return _SIP_TO_CAUSE[code]
    return 127 if code < 500 else 38


def dial_status(cause: int) -> str:
    """The `dialstatus` of a leg that ended unanswered by this cause."""
    if cause == 17:
        return "BUSY"
    return "CONGESTION" if cause == 34 else "NOANSWER"
