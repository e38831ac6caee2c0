"""Where repositories lie, and what a place can do to a box that asks it."""

from __future__ import annotations

import os
import socket
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from edge.bundle.trust import Trust
from edge.bundle.trust.places import FolderPlace, Limits, MissingFileError, open_place
from edge.errors import BundleError, OstiaryError, RepositoryError, UsageError
from tests.edge.bundle.trust.conftest import Door
from tests.support.tls import Authority
from tests.support.web import serve, slow_server, web_server


def handler(
    status: int, *, body: bytes = b"", headers: tuple[tuple[str, str], ...] = ()
) -> type[BaseHTTPRequestHandler]:
    """Says the same to everything."""

    class Says(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.send_response(status)
            for name, value in headers:
                self.send_header(name, value)
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: Any) -> None:
            """Nothing."""

    return Says


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("http://updates.example/x", "http without TLS"), ("http://localhost.example/", "http without TLS"),
        ("ftp://updates.example", "cannot be fetched from"), ("https://", "cannot be fetched from"),
        ("https://[::1", "cannot be fetched from"), ("HTTP://x", "http without TLS"), ("javascript://x", "cannot be fetched"),
    ],
)  # fmt: skip
def test_an_address_that_is_not_asked(source: str, problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        open_place(source)


def test_a_folder_by_its_address(door: Door) -> None:
    named = door.folder / "with blank"
    door.repository.rename(named)
    assert door.fetch(named.as_uri()).bundle_id == "door-1"


def test_what_is_no_repository(tmp_path: Path) -> None:
    with pytest.raises(RepositoryError, match="no such folder"):
        FolderPlace(tmp_path / "none")
    with pytest.raises(RepositoryError, match="not a repository of signed bundles"):
        FolderPlace(tmp_path)
    (tmp_path / "manifest.json").write_text("{}")
    with pytest.raises(BundleError, match="not signed: a plain bundle"):
        FolderPlace(tmp_path)


def test_a_stick_with_something_else_than_files(door: Door) -> None:
    """A pipe would be waited for without end."""
    path = door.repository / "metadata" / "timestamp.json"
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(RepositoryError, match="not a file"):
        door.fetch()
    path.unlink()
    path.mkdir()
    with pytest.raises(RepositoryError, match=r"cannot be read|not a file"):
        door.fetch()


def test_a_repository_without_its_timestamp(door: Door) -> None:
    (door.repository / "metadata" / "timestamp.json").unlink()
    with pytest.raises(RepositoryError, match="missing"):
        door.fetch()


def test_a_folder_gives_files_in_pieces(door: Door) -> None:
    (door.repository / "targets" / "big").write_bytes(bytes(200_000))
    chunks = list(FolderPlace(door.repository).chunks("targets/big"))
    assert b"".join(chunks) == bytes(200_000)
    assert max(map(len, chunks)) <= 65_536
    with pytest.raises(MissingFileError):
        list(FolderPlace(door.repository).chunks("targets/none/x"))


def test_over_tls_with_an_authority_of_our_own(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = Authority(door.folder / "tls")
    with web_server(door.repository, authority.issue("server")) as address:
        with pytest.raises(RepositoryError, match="its certificate is not accepted"):
            door.fetch(address)
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.ca))
        assert door.fetch(address).bundle_id == "door-1"


def test_a_certificate_for_another_name(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = Authority(door.folder / "tls")
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.ca))
    pair = authority.issue("server", host="elsewhere.example")
    with (
        web_server(door.repository, pair) as address,
        pytest.raises(RepositoryError, match="its certificate is not accepted"),
    ):
        door.fetch(address)


def test_nobody_listens(door: Door) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(RepositoryError, match="nothing listens there"):
        door.fetch(f"http://127.0.0.1:{port}")


@pytest.mark.parametrize(
    ("says", "error", "problem"),
    [
        (handler(500), RepositoryError, "answers 500"), (handler(204), RepositoryError, "answers 204"),
        (handler(404), RepositoryError, "missing"), (handler(403), RepositoryError, "missing"),
        (handler(200, body=b"<html>log in"), BundleError, "damaged, or no signed metadata"),
        (handler(302, headers=(("Location", "/again"),)), RepositoryError, "redirects without end"),
        (handler(302, headers=(("Location", "http://updates.example/x"),)), RepositoryError, "redirects to 'http://"),
        (handler(302, headers=(("Location", "file:///etc/shadow"),)), RepositoryError, "redirects to 'file://"),
        (handler(200, body=b"{", headers=(("Content-Length", "10"),)), RepositoryError, "the connection broke off"),
        (handler(200, body=b"1\r\n{\r\n0\r\n\r\n", headers=(("Transfer-Encoding", "chunked"),)), BundleError, "damaged"),
        (handler(200, body=b"ffff\r\n{", headers=(("Transfer-Encoding", "chunked"),)), RepositoryError, "broke off"),
        (handler(200, body=bytes(600_000)), BundleError, "longer than what was signed"),
    ],
)  # fmt: skip
def test_what_a_server_can_say(
    door: Door, says: type[BaseHTTPRequestHandler], error: type[OstiaryError], problem: str
) -> None:
    with serve(says) as address, pytest.raises(error, match=problem):
        door.fetch(address)
    assert door.trust.check(door.installed).bundle_id == "door-1"


def test_a_redirect_is_followed(door: Door) -> None:
    with web_server(door.repository) as address:

        class Moved(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(301)
                self.send_header("Location", f"{address}{self.path}")
                self.end_headers()

            def log_message(self, *arguments: Any) -> None:
                """Nothing."""

        with serve(Moved) as elsewhere:
            assert door.fetch(elsewhere).bundle_id == "door-1"


def test_compressed_answers_are_not_unpacked(door: Door) -> None:
    """A small answer could become one that fills the memory."""
    says = handler(200, body=b"\x1f\x8b" + bytes(50), headers=(("Content-Encoding", "gzip"), ("Content-Length", "52")))
    with serve(says) as address, pytest.raises(BundleError, match="damaged"):
        door.fetch(address)


def test_headers_that_come_byte_by_byte(door: Door) -> None:
    """No byte is late, and the answer never begins."""
    trust = Trust(door.folder / "trust", device="front", limits=Limits(timeout_s=20, grace_s=0.1))
    with (
        slow_server(b"", pause_s=0.01, slow_headers=True) as address,
        pytest.raises(RepositoryError, match=r"too slow: no answer in 0\.1 s"),
    ):
        door.fetch(address, trust=trust)
