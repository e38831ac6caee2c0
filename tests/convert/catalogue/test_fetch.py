from __future__ import annotations

import hashlib
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from convert.catalogue.fetch import fetch_model
from convert.catalogue.recipe import Part, Recipe, SourceFile
from edge.errors import EXIT_REJECTED, EXIT_UNAVAILABLE, ModelError, UnavailableError, UsageError

CONTENT = bytes(range(256)) * 2000


class Shop(ThreadingHTTPServer):
    """Serves CONTENT by ranges; breaks off after `patience` bytes as often as `breaks` says."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.breaks, self.patience, self.content, self.ranges = 0, 100_000, CONTENT, True
        self.asked: list[str | None] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/net.onnx"


class Handler(BaseHTTPRequestHandler):
    server: Shop

    def do_GET(self) -> None:
        shop, wanted = self.server, self.headers.get("Range")
        shop.asked.append(wanted)
        if self.path != "/net.onnx":
            self.send_error(404)
            return
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and shop.ranges else 0
        rest = shop.content[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(rest)))
        self.end_headers()
        if shop.breaks:
            shop.breaks -= 1
            rest = rest[: shop.patience]
        self.wfile.write(rest)

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def shop() -> Iterator[Shop]:
    with Shop() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def recipe(url: str, content: bytes = CONTENT, **more: Any) -> Recipe:
    file = SourceFile("net.onnx", hashlib.sha256(content).hexdigest(), len(content), url)
    part = Part(("net.onnx",), "onnx")
    return Recipe(
        title="a net", role="other", source="a shop", licence="MIT", files=(file,), parts={"model": part}, **more
    )


def no_progress(name: str, got: int, total: int) -> None:
    """Nobody looks."""


def test_a_file_comes_whole_and_is_told_of(shop: Shop, tmp_path: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    folder = tmp_path / "deep" / "net"
    fetched = fetch_model("net", recipe(shop.url), folder, lambda *row: seen.append(row))
    assert fetched == [folder / "net.onnx"]
    assert fetched[0].read_bytes() == CONTENT
    assert seen[-1] == ("net.onnx", len(CONTENT), len(CONTENT))
    assert fetch_model("net", recipe(shop.url), folder, no_progress) == []
    assert len(shop.asked) == 1


def test_what_broke_off_goes_on_where_it_broke(shop: Shop, tmp_path: Path) -> None:
    shop.breaks = 2
    fetch_model("net", recipe(shop.url), tmp_path, no_progress)
    assert (tmp_path / "net.onnx").read_bytes() == CONTENT
    assert shop.asked == [None, "bytes=100000-", "bytes=200000-"]


def test_it_goes_on_in_the_next_run_too(shop: Shop, tmp_path: Path) -> None:
    shop.breaks = 3
    with pytest.raises(UnavailableError):
        fetch_model("net", recipe(shop.url), tmp_path, no_progress)
    assert not (tmp_path / "net.onnx").exists()
    fetch_model("net", recipe(shop.url), tmp_path, no_progress)
    assert shop.asked[-1] == "bytes=300000-"
    assert (tmp_path / "net.onnx").read_bytes() == CONTENT


def test_a_server_without_ranges_sends_all_again(shop: Shop, tmp_path: Path) -> None:
    shop.breaks, shop.ranges = 1, False
    fetch_model("net", recipe(shop.url), tmp_path, no_progress)
    assert (tmp_path / "net.onnx").read_bytes() == CONTENT


@pytest.mark.parametrize("content", [CONTENT[:-1] + b"!", CONTENT + b"more"])
def test_another_file_is_refused_and_not_kept(shop: Shop, tmp_path: Path, content: bytes) -> None:
    shop.content = content
    with pytest.raises(ModelError) as caught:
        fetch_model("net", recipe(shop.url), tmp_path, no_progress)
    assert caught.value.exit_code == EXIT_REJECTED
    assert not (tmp_path / "net.onnx").exists()


def test_a_file_that_is_there_but_another_is_not_overwritten(shop: Shop, tmp_path: Path) -> None:
    (tmp_path / "net.onnx").write_bytes(b"mine")
    with pytest.raises(ModelError, match="4 bytes"):
        fetch_model("net", recipe(shop.url), tmp_path, no_progress)
    assert (tmp_path / "net.onnx").read_bytes() == b"mine"


def test_offline_says_where_to_put_the_files(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(UnavailableError) as caught:
        fetch_model("net", recipe(f"http://127.0.0.1:{port}/net.onnx"), tmp_path, no_progress)
    assert caught.value.exit_code == EXIT_UNAVAILABLE
    assert str(tmp_path) in str(caught.value)
    assert "a shop" in str(caught.value)


def test_a_missing_page_is_not_asked_for_again(shop: Shop, tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="Not Found"):
        fetch_model("net", recipe(shop.url.replace("net.onnx", "gone.onnx")), tmp_path, no_progress)
    assert len(shop.asked) == 1


def test_a_model_without_an_address_says_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="by hand"):
        fetch_model("net", recipe("", obtain="Download it by hand."), tmp_path, no_progress)


def test_files_are_not_read_through_the_address(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="http"):
        fetch_model("net", recipe("file:///etc/passwd"), tmp_path, no_progress)
