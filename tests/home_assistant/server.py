"""A real Home Assistant for as long as a context lasts: its process, and its REST interface."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from edge.demo.broker import free_port
from tests.support.mosquitto import HOST, wait_for

PATIENCE_S = 240.0
"""Its first start sets up everything; on a slow machine that takes minutes."""
INTEGRATIONS = "frontend config script recorder history logbook"


class Api:
    """REST, as https://developers.home-assistant.io/docs/api/rest/ has it."""

    def __init__(self, port: int) -> None:
        self.url = f"http://{HOST}:{port}"
        self.token = ""
        self.tokens: dict[str, Any] = {}

    def call(self, path: str, body: Any = None, *, form: bool = False) -> Any:
        """GET without a body, else POST; JSON, or text where it is none."""
        data = None if body is None else (urllib.parse.urlencode(body) if form else json.dumps(body)).encode()
        kind = "application/x-www-form-urlencoded" if form else "application/json"
        headers = {"Content-Type": kind} | ({"Authorization": f"Bearer {self.token}"} if self.token else {})
        request = urllib.request.Request(f"{self.url}{path}", data, headers)  # noqa: S310 - http, to this host
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
                text = answer.read()
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{path}: {error.code} {error.read()[:500]!r}") from error
        try:
            return json.loads(text)
        except ValueError:
            return text

    def is_up(self) -> bool:
        try:
            return bool(self.call("/manifest.json"))
        except (OSError, AssertionError):
            return False

    def onboard(self) -> None:
        """The first user, as the first visit of a browser makes one; then signed in as that user."""
        client = {"client_id": f"{self.url}/"}
        user = {"name": "Ada", "username": "ada", "password": "a door needs a keeper", "language": "en"}
        code = self.call("/api/onboarding/users", {**client, **user})["auth_code"]
        self.sign_in(code)
        self.call("/api/onboarding/core_config", {})
        self.call("/api/onboarding/analytics", {})
        self.call("/api/onboarding/integration", {**client, "redirect_uri": f"{self.url}/"})

    def sign_in(self, code: str) -> None:
        grant = {"grant_type": "authorization_code", "code": code, "client_id": f"{self.url}/"}
        self.tokens = self.call("/auth/token", grant, form=True)
        self.token = self.tokens["access_token"]

    def renew(self) -> None:
        """After a restart."""
        self.token = ""
        grant = {"grant_type": "refresh_token", "refresh_token": self.tokens["refresh_token"]}
        self.token = self.call("/auth/token", {**grant, "client_id": f"{self.url}/"}, form=True)["access_token"]

    def add_mqtt(self, port: int) -> None:
        """As a user adds the integration: a form, filled in."""
        flow = self.call("/api/config/config_entries/flow", {"handler": "mqtt"})
        while flow["type"] in {"form", "menu"}:
            values = {"broker": HOST, "port": port, "other_settings": {"set_client_cert": False, "set_ca_cert": "off"}}
            wanted = {field["name"] for field in flow.get("data_schema") or []}
            body = {name: value for name, value in values.items() if name in wanted}
            assert body, f"a form that asks for something else: {flow}"
            flow = self.call(f"/api/config/config_entries/flow/{flow['flow_id']}", body)
        assert flow["type"] == "create_entry", flow

    def state(self, entity_id: str) -> dict[str, Any] | None:
        """State and attributes; None where there is no such entity."""
        try:
            found: dict[str, Any] = self.call(f"/api/states/{entity_id}")
        except AssertionError:
            return None
        return found

    def is_state(self, entity_id: str, value: str) -> bool:
        found = self.state(entity_id)
        return found is not None and found["state"] == value

    def entities(self) -> set[str]:
        return {one["entity_id"] for one in self.call("/api/states")}

    def render(self, template: str) -> str:
        """A template, with the registries that REST does not show."""
        found = self.call("/api/template", {"template": template})
        return found.decode() if isinstance(found, bytes) else str(found)

    def act(self, action: str, **data: Any) -> None:
        """An action, as an automation calls it."""
        self.call(f"/api/services/{action.replace('.', '/')}", data)


class HomeAssistant:
    """The process, with a configuration folder of its own."""

    def __init__(self, python: str, folder: Path) -> None:
        self._python = python
        self.folder = folder
        self.port = free_port()
        self.api = Api(self.port)
        self._process: subprocess.Popen[bytes] | None = None

    def write(self, *, automations: str, more: str = "") -> None:
        # Where pages of our own lie; a folder that is made later is not served.
        (self.folder / "www").mkdir(parents=True, exist_ok=True)
        lines = [f"{name}:" for name in INTEGRATIONS.split()]
        text = "\n".join(
            [
                *lines,
                f"http:\n  server_port: {self.port}\n  server_host: {HOST}",
                "automation: !include automations.yaml",
                more,
                "",
            ]
        )
        (self.folder / "configuration.yaml").write_text(text, encoding="utf-8")
        (self.folder / "automations.yaml").write_text(automations, encoding="utf-8")

    def start(self) -> None:
        command = [self._python, "-m", "homeassistant", "--config", str(self.folder)]
        with (self.folder / "output.log").open("ab") as output:
            self._process = subprocess.Popen(
                command, stdout=output, stderr=output, env=os.environ, start_new_session=True
            )
        wait_for(self._is_up_or_dead, "Home Assistant", PATIENCE_S)
        assert self._process.poll() is None, self.log[-3000:]

    def _is_up_or_dead(self) -> bool:
        assert self._process is not None
        return self._process.poll() is not None or self.api.is_up()

    def wait_running(self) -> None:
        """Everything is set up, and automations run."""
        wait_for(lambda: self.api.call("/api/config")["state"] == "RUNNING", "Home Assistant to run", PATIENCE_S)

    def confirm_address(self) -> None:
        """Otherwise newer versions restart after five minutes, at their old port."""
        command = [self._python, str(Path(__file__).with_name("confirm.py")), self.api.url, self.api.token]
        subprocess.run(command, check=True, timeout=60)

    def stop(self) -> None:
        """As a service manager does."""
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGTERM)
            try:
                self._process.wait(90)
            except subprocess.TimeoutExpired:
                os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()
        self._process = None

    def restart(self) -> None:
        self.stop()
        self.start()
        self.api.renew()
        self.wait_running()

    @property
    def log(self) -> str:
        parts = [self.folder / "home-assistant.log", self.folder / "output.log"]
        return "\n".join(one.read_text(encoding="utf-8", errors="replace") for one in parts if one.exists())


@contextmanager
def home_assistant(python: str, folder: Path, *, automations: str, more: str = "") -> Iterator[HomeAssistant]:
    """Running, with its first user signed in."""
    server = HomeAssistant(python, folder)
    server.write(automations=automations, more=more)
    started = time.monotonic()
    try:
        server.start()
        server.api.onboard()
        server.confirm_address()
        server.wait_running()
        took_s = time.monotonic() - started
        sys.stdout.write(f"Home Assistant {server.api.call('/api/config')['version']} runs after {took_s:.0f} s\n")
        yield server
    finally:
        server.stop()
