"""Free ports on loopback, and whether somebody listens there."""

import asyncio
import contextlib
import random
import socket

LOOPBACK = "127.0.0.1"
_given: set[int] = set()


def free_port() -> int:
    """A port nobody listens on, and that this process has not given out before.

    It lies below the range from which systems take the ports of outgoing connections: a part that is restarted must
    find its port free although hundreds of clients were trying to reach it meanwhile.
    """
    for port in random.sample(range(20_000, 32_000), 2_000):
        if port not in _given and _is_free(port):
            _given.add(port)
            return port
    raise OSError("no free port between 20000 and 32000")


def _is_free(port: int) -> bool:
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((LOOPBACK, port))
        except OSError:
            return False
        return True


async def is_open(port: int) -> bool:
    try:
        async with asyncio.timeout(1):
            _, writer = await asyncio.open_connection(LOOPBACK, port)
    except (OSError, TimeoutError):
        return False
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return True
