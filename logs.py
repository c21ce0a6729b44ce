"""How a node writes its log: structlog, as text for a terminal or as a JSON object a line.

`Once` is for what lasts: a condition is said when it begins, when it changes, and when it is over, not at every try.
What cannot be written (the reader is gone, the disk is full) is dropped: that is no reason to lose a call.
"""

from __future__ import annotations

import logging
import sys
from typing import TextIO, cast

import structlog
from attrs import define, field

from config import LogConfig

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


def set_up(config: LogConfig) -> None:
    """Write the log to standard error from now on, at `config.level` and above."""
    renderer: structlog.typing.Processor
    if config.format == "json":
        renderer = structlog.processors.JSONRenderer(ensure_ascii=False)
    else:
        renderer = structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(),
            pad_event_to=0,
            exception_formatter=structlog.dev.plain_traceback,  # no local variables: secrets are among them
        )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *([structlog.processors.format_exc_info] if config.format == "json" else []),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[config.level]),
        logger_factory=structlog.PrintLoggerFactory(cast(TextIO, _Steady(sys.stderr))),
        cache_logger_on_first_use=True,
    )


def get_logger(name: str) -> structlog.typing.FilteringBoundLogger:
    """A logger whose lines say which part of the node they come from."""
    logger: structlog.typing.FilteringBoundLogger = structlog.get_logger(part=name)
    return logger


@define(eq=False)
class _Steady:
    """A stream that drops what cannot be written: whoever logs must not fail by it."""

    _stream: TextIO

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except (OSError, ValueError):  # ValueError: it is closed
            return 0

    def flush(self) -> None:
        try:
            self._stream.flush()
        except (OSError, ValueError):
            pass


@define(eq=False)
class Once:
    """Says a lasting condition once. `key` names the condition; it is said again when its `state` changes."""

    log: structlog.typing.FilteringBoundLogger
    _said: dict[str, str] = field(factory=dict, init=False)

    def say(self, key: str, state: str, message: str, **data: object) -> None:
        if self._said.get(key) != state:
            self._said[key] = state
            self.log.error(message, **data)

    def over(self, key: str, message: str) -> None:
        """The condition has ended, if it had begun."""
        if self._said.pop(key, None) is not None:
            self.log.info(message)
