"""Scheduling as on an operator's host: Debian's Asterisk runs in real time, and what works with it must as well."""

from __future__ import annotations

import os
from pathlib import Path

from testbed.processes import Child

REAL_TIME = 10  # what `asterisk -p` gives itself, SCHED_RR
INSTRUMENTS = 30  # what measures, elsewhere a machine of its own


def may_be_real_time() -> bool:
    """Whether this user may: root, or with CAP_SYS_NICE or RLIMIT_RTPRIO."""
    before = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(INSTRUMENTS))
    except PermissionError:
        return False
    os.sched_setscheduler(0, *before)
    return True


def make_real_time(child: Child, priority: int = REAL_TIME) -> None:
    """All processes and threads that a child has, and those that it starts from now on."""
    for process in Path("/proc").iterdir():
        if not process.name.isdigit():
            continue
        try:
            if os.getpgid(int(process.name)) != child.pid:
                continue
            for thread in (process / "task").iterdir():
                os.sched_setscheduler(int(thread.name), os.SCHED_RR, os.sched_param(priority))
        except (ProcessLookupError, FileNotFoundError):
            continue  # it has ended meanwhile
