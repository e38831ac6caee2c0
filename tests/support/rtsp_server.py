"""A camera on the network, in plain Python: RTSP over TCP (RFC 2326) with RTP/JPEG (RFC 2435).

It can stall, freeze, show nothing, say nothing, hang up on everybody, go away and come back on the same port.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Iterator
from typing import Self

import numpy as np

from tests.support.clips import jpeg, numbered_picture

_CLOCK_HZ = 90_000
_PACKET_BYTES = 1400
_SDP = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=door\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=video 0 RTP/AVP 26\r\na=framerate:{fps}\r\na=control:track0\r\n"


class NetworkCamera:
    """What both servers share: a listening socket, a thread a client, and switches for trouble."""

    def __init__(self, *, fps: float = 25.0, width: int = 160, height: int = 120) -> None:
        self.fps = fps
        self.size = (width, height)
        self.flowing = threading.Event()
        self.flowing.set()
        self.speaking = threading.Event()
        """Cleared: connections are taken, and nothing is said on new ones."""
        self.speaking.set()
        self.forgetful = False
        """A connection taken without a word never hears one, whatever comes later."""
        self.frozen = False
        self.dark = False
        self.connections = 0
        self._clients: set[socket.socket] = set()
        self._listener: socket.socket | None = None
        self._pictures = [jpeg(numbered_picture(number, width, height)) for number in range(256)]
        self._darkness = jpeg(np.zeros((height, width, 3), np.uint8))
        self._threads: list[threading.Thread] = []
        self.port = 0

    def __enter__(self) -> Self:
        self.appear()
        return self

    def __exit__(self, *_: object) -> None:
        self.vanish()

    def appear(self) -> None:
        """Listen; again on the same port after `vanish`."""
        listener = socket.create_server(("127.0.0.1", self.port), reuse_port=False)
        self.port = listener.getsockname()[1]
        self._listener = listener
        self._start(self._accept, listener)

    def vanish(self) -> None:
        """Stop listening and hang up."""
        if self._listener is not None:
            with contextlib.suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
        self.hang_up()
        for thread in self._threads:
            thread.join(timeout=5)
        self._threads.clear()

    def hang_up(self) -> None:
        """Break every connection, but keep listening."""
        for client in list(self._clients):
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)

    def serve(self, client: socket.socket) -> None:
        """One connection, until it breaks."""
        raise NotImplementedError

    def frames(self, client: socket.socket) -> Iterator[tuple[int, bytes]]:
        """Number and JPEG at the camera's pace, as long as the client is there; holds back while stalled."""
        number = 0
        while client in self._clients:
            if self.flowing.wait(0.05):
                yield number, self._darkness if self.dark else self._pictures[number % 256]
                number += not self.frozen
                time.sleep(1 / self.fps)

    def _start(self, target: object, *args: object) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            self.connections += 1
            self._clients.add(client)
            self._start(self._serve, client)

    def _serve(self, client: socket.socket) -> None:
        try:
            if self.forgetful and not self.speaking.is_set():
                while client.recv(1000):
                    pass
            while client in self._clients and not self.speaking.wait(0.05):
                pass
            self.serve(client)
        except (OSError, ValueError):
            pass
        finally:
            self._clients.discard(client)
            client.close()


class RtspServer(NetworkCamera):
    """`with RtspServer() as camera: open_source(Camera(uri=camera.uri))`."""

    @property
    def uri(self) -> str:
        """Where it is found."""
        return f"rtsp://127.0.0.1:{self.port}/stream"

    def serve(self, client: socket.socket) -> None:
        """Answer requests; PLAY starts a thread that sends until the connection breaks."""
        lock = threading.Lock()
        reader = client.makefile("rb")
        while head := reader.read(1):
            if head == b"$":
                # What the client reports about reception (RTCP).
                _, length = struct.unpack(">BH", reader.read(3))
                reader.read(length)
                continue
            lines = [(head + reader.readline()).decode().strip()]
            while line := reader.readline().decode().strip():
                lines.append(line)
            method = lines[0].split()[0]
            with lock:
                client.sendall(self._answer(method, lines))
            if method == "PLAY":
                self._start(self._play, client, lock)
            if method == "TEARDOWN":
                return

    def _answer(self, method: str, lines: list[str]) -> bytes:
        headers = dict(line.split(": ", 1) for line in lines[1:] if ": " in line)
        answer = ["RTSP/1.0 200 OK", f"CSeq: {headers.get('CSeq', '0')}", "Session: 12345678;timeout=60"]
        body = ""
        if method == "OPTIONS":
            answer.append("Public: OPTIONS, DESCRIBE, SETUP, PLAY, GET_PARAMETER, TEARDOWN")
        elif method == "DESCRIBE":
            body = _SDP.format(fps=self.fps)
            answer += ["Content-Type: application/sdp", f"Content-Base: {self.uri}/", f"Content-Length: {len(body)}"]
        elif method == "SETUP" and "TCP" not in headers.get("Transport", ""):
            answer[0] = "RTSP/1.0 461 Unsupported Transport"
        elif method == "SETUP":
            answer.append("Transport: RTP/AVP/TCP;unicast;interleaved=0-1")
        return ("\r\n".join(answer) + "\r\n\r\n" + body).encode()

    def _play(self, client: socket.socket, lock: threading.Lock) -> None:
        sequence = 0
        started = time.monotonic()
        with contextlib.suppress(OSError):
            for _, picture in self.frames(client):
                stamp = int((time.monotonic() - started) * _CLOCK_HZ)
                for packet in _rtp_jpeg(picture, sequence, stamp):
                    with lock:
                        client.sendall(struct.pack(">cBH", b"$", 0, len(packet)) + packet)
                    sequence += 1


def _segments(picture: bytes) -> Iterator[tuple[int, bytes, int]]:
    """Marker, content and the offset behind it, of every segment up to the scan."""
    offset = 2
    while True:
        marker, length = picture[offset + 1], int.from_bytes(picture[offset + 2 : offset + 4], "big")
        offset += 2 + length
        yield marker, picture[offset - length + 2 : offset], offset
        if marker == 0xDA:
            return


def _rtp_jpeg(picture: bytes, sequence: int, stamp: int) -> Iterator[bytes]:
    """RFC 2435 packets of one baseline 4:2:0 JPEG: tables in the first, marker bit on the last."""
    tables, width, height, scan = b"", 0, 0, b""
    for marker, content, behind in _segments(picture):
        if marker == 0xDB:
            # One segment may hold both tables; each is a byte of precision and number, then 64 values.
            tables += b"".join(content[at + 1 : at + 65] for at in range(0, len(content), 65))
        elif marker == 0xC0:
            height, width = struct.unpack(">HH", content[1:5])
        elif marker == 0xDA:
            scan = picture[behind:-2]
    offset = 0
    while offset < len(scan):
        chunk = scan[offset : offset + _PACKET_BYTES]
        last = offset + len(chunk) >= len(scan)
        rtp = struct.pack(">BBHII", 0x80, 26 | (0x80 if last else 0), sequence & 0xFFFF, stamp & 0xFFFFFFFF, 0x0571A5)
        head = struct.pack(">B", 0) + offset.to_bytes(3, "big") + bytes([1, 255, width // 8, height // 8])
        quantisation = struct.pack(">BBH", 0, 0, len(tables)) + tables if offset == 0 else b""
        yield rtp + head + quantisation + chunk
        offset += len(chunk)
        sequence += 1
