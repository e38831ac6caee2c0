"""A page of Home Assistant as a picture, by chromium."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.home_assistant.server import HomeAssistant


def take_screenshot(server: HomeAssistant, path: str, picture: Path, *, size: str = "1280,1240") -> None:
    """Signed in as the first user: a page of its own puts the tokens where the frontend looks for them."""
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    assert program, "a screenshot needs chromium"
    tokens = {**server.api.tokens, "hassUrl": server.api.url, "clientId": f"{server.api.url}/", "expires": 4e12}
    page = f"<script>localStorage.hassTokens={json.dumps(json.dumps(tokens))};localStorage.dockedSidebar='\"always_hidden\"';location.replace({json.dumps(path)})</script>"
    folder = server.folder / "www"
    (folder / "enter.html").write_text(page, encoding="utf-8")
    with tempfile.TemporaryDirectory() as profile:
        command = [
            program, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run", "--disable-background-networking",
            "--disable-sync", f"--user-data-dir={profile}", f"--window-size={size}", "--virtual-time-budget=20000",
            f"--screenshot={picture.resolve()}", f"{server.api.url}/local/enter.html",
        ]  # fmt: skip
        subprocess.run(command, check=True, capture_output=True, timeout=120)
