"""What can go wrong between us and Asterisk, each named for what an operator has to do about it."""

from __future__ import annotations


class AriError(Exception):
    """Something between us and Asterisk's ARI failed."""


class AriAway(AriError):
    """Asterisk can't be reached, or is still starting: tried again with backoff."""


class AriUnauthorized(AriError):
    """Asterisk refuses our user or password."""


class AriTooOld(AriError):
    """This Asterisk is older than what is supported."""


class BadFrame(AriError):
    """The other end does not speak WebSocket as it should: this connection is given up."""


class RequestFailed(AriError):
    """Asterisk answered a request with an error, or did not answer it.

    `status` is the HTTP status, or 0: no answer came (the deadline passed, or the connection was lost).
    """

    def __init__(self, what: str, status: int, reason: str) -> None:
        super().__init__(f"{what}: {status or 'no answer'} {reason}".rstrip())
        self.status = status
        self.reason = reason
