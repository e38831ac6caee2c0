"""A camera that serves Motion JPEG over HTTP (multipart/x-mixed-replace), with the same switches for trouble."""

from __future__ import annotations

import base64
import socket

from tests.support.rtsp_server import NetworkCamera


class MjpegServer(NetworkCamera):
    """`credentials` like "user:password" are asked for when given."""

    credentials = ""

    @property
    def uri(self) -> str:
        """Where it is found, with credentials when there are any."""
        before = f"{self.credentials}@" if self.credentials else ""
        return f"http://{before}127.0.0.1:{self.port}/video.mjpg"

    def serve(self, client: socket.socket) -> None:
        """Answer one GET for ever."""
        reader = client.makefile("rb")
        request = b""
        while (line := reader.readline()).strip():
            request += line
        if not self._may_enter(request):
            client.sendall(
                b'HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm="door"\r\nContent-Length: 0\r\n\r\n'
            )
            return
        client.sendall(
            b"HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=door\r\nConnection: close\r\n\r\n"
        )
        for _, picture in self.frames(client):
            head = f"--door\r\nContent-Type: image/jpeg\r\nContent-Length: {len(picture)}\r\n\r\n"
            client.sendall(head.encode() + picture + b"\r\n")

    def _may_enter(self, request: bytes) -> bool:
        wanted = base64.b64encode(self.credentials.encode())
        return not self.credentials or b"Basic " + wanted in request
