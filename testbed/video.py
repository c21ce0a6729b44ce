"""An end of H.264 video over RTP: frames that carry a number, so that it can be told which of them came through.

SIPp speaks SIP only; its panel or phone is given the ports of such an end as its media (`media_port`).
"""

from __future__ import annotations

import struct

import trio
from attrs import Factory, define

from testbed.processes import HOST

PAYLOAD_TYPE = 99  # as in scenarios/video.sdp
CLOCK_HZ = 90_000
FRAMES_A_SECOND = 25
IDR_SLICE = b"\x65"  # the header of a NAL unit: a frame that needs no other
_HEAD = struct.Struct("!BBHII")


@define
class VideoEnd:
    """Sends numbered frames from `port` and keeps the numbers of those that come there."""

    port: int
    received: set[int] = Factory(set)
    _socket: trio.socket.SocketType = Factory(lambda: trio.socket.socket(type=trio.socket.SOCK_DGRAM))

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Be there until cancelled."""
        with self._socket as opened:
            await opened.bind((HOST, self.port))
            task_status.started()
            while True:
                packet = await opened.recv(2048)
                if len(packet) > _HEAD.size and packet[1] & 0x7F == PAYLOAD_TYPE:
                    (number,) = struct.unpack("!I", packet[_HEAD.size + 1 : _HEAD.size + 5])
                    self.received.add(number)

    async def send(self, port: int, count: int) -> None:
        """Send frames number 1 to `count` to `port`, a packet each."""
        for number in range(1, count + 1):
            stamp = number * CLOCK_HZ // FRAMES_A_SECOND
            head = _HEAD.pack(0x80, 0x80 | PAYLOAD_TYPE, number, stamp, 0x7E1ED0)
            await self._socket.sendto(head + IDR_SLICE + struct.pack("!I", number) + bytes(700), (HOST, port))
            await trio.sleep(1 / FRAMES_A_SECOND)
