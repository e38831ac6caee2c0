"""How one thread ends the wait of another."""

from __future__ import annotations

import contextlib
import socket


class Waker:
    """Lets any thread end the wait of another one."""

    def __init__(self) -> None:
        self._reader, self._writer = socket.socketpair()
        self._reader.settimeout(0)
        self._writer.settimeout(0)

    def wake(self) -> None:
        """End the present wait, or the next one."""
        with contextlib.suppress(BlockingIOError, OSError):
            self._writer.send(b"\0")

    def fileno(self) -> int:
        """Readable once woken."""
        return self._reader.fileno()

    def clear(self) -> None:
        """Ready for the next wait."""
        with contextlib.suppress(BlockingIOError, OSError):
            self._reader.recv(4096)

    def close(self) -> None:
        """Release both ends."""
        self._reader.close()
        self._writer.close()
