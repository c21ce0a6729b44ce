"""The simulated Asterisk as a process: prints `ari=http://127.0.0.1:PORT/ari` and runs until it is ended.

Control: HTTP under http://127.0.0.1:PORT/sim/ (see control.py).
"""

from __future__ import annotations

import argparse
import signal

import trio

from testbed.simulated.server import open_simulated


async def _run(args: argparse.Namespace) -> None:
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with open_simulated(
            port=args.port, user=args.user, password=args.password, version=args.version
        ) as simulated:
            print(f"ari={simulated.ari_url}", flush=True)
            with trio.move_on_after(args.life):
                async for _ in signals:
                    return


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m testbed.simulated", description=__doc__)
    parser.add_argument(
        "--port", type=int, default=0, help="TCP port on 127.0.0.1; 0 takes a free one (default)"
    )
    parser.add_argument("--user", default="teledom", help="ARI user (default: teledom)")
    parser.add_argument("--password", default="secret", help="ARI password (default: secret)")
    parser.add_argument(
        "--version",
        default="22.10.1",
        help="what it says it is; below 22.4 it takes no requests over WebSockets",
    )
    parser.add_argument(
        "--life", type=float, default=86400.0, help="seconds after which it ends by itself (default: a day)"
    )
    trio.run(_run, parser.parse_args())


if __name__ == "__main__":
    main()
