"""Free ports on loopback, and whether a process listens on one."""

import asyncio
import contextlib
import os
import random
import socket

LOOPBACK = "127.0.0.1"
_kept: dict[int, int] = {}
"""File descriptors by port; sockets would complain of being left open when the process ends."""


def free_port() -> int:
    """A port without a listener that no running process has reserved.

    It lies below the range from which systems take the ports of outgoing connections: a part that is restarted must
    find its port free although hundreds of clients were trying to reach it meanwhile.
    """
    for port in random.sample(range(20_000, 32_000), 2_000):
        if _keep(port):
            if _is_free(port):
                return port
            os.close(_kept.pop(port))
    raise OSError("no free port between 20000 and 32000")


def _keep(port: int) -> bool:
    """The port is reserved until this process ends: parts take a second to listen, and are restarted later.

    What is held is the UDP port of that number, of which the part has no need. The kernel lets it go with the process.
    """
    holder = socket.socket(type=socket.SOCK_DGRAM)
    try:
        holder.bind((LOOPBACK, port))
    except OSError:
        holder.close()
        return False
    _kept[port] = holder.detach()
    return True


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
