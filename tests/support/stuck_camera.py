"""A module picamera2 for a daemon in another process: its camera gives a few frames, then never comes back from a call."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from tests.support.data import ROOT

CAMERA = {"uri": "picamera2:", "width_px": 640, "height_px": 480, "stall_s": 0.5, "give_up_s": 1.5}
_MODULE = '''"""Stands in for picamera2: gives a few frames, then hangs in the kernel as a driver would."""
import os
import threading

import numpy as np

_lock = threading.Lock()


class Request:
    def __init__(self, size, number):
        self._size, self._number = size, number

    def get_metadata(self):
        return {}

    def make_array(self, name):
        return np.full((self._size[1], self._size[0], 3), 100 + self._number, np.uint8)

    def get_result(self):
        return self

    def release(self):
        pass


class Picamera2:
    def __init__(self, number):
        if not _lock.acquire(blocking=False):
            raise RuntimeError("Failed to acquire camera: Device or resource busy")
        self._given = 0

    def create_video_configuration(self, **wishes):
        return wishes

    def configure(self, configuration):
        self._configuration = configuration

    def camera_configuration(self):
        return self._configuration

    def start(self):
        pass

    def capture_request(self, wait=None, signal_function=None):
        if self._given >= 5:
            os.read(os.pipe()[0], 1)
        self._given += 1
        request = Request(self._configuration["main"]["size"], self._given)
        signal_function(request)
        return request
'''


@contextlib.contextmanager
def stuck_daemon(folder: Path, **camera: Any) -> Iterator[tuple[subprocess.Popen[str], socket.socket]]:
    """`ostiary run` before that camera, and the socket on which its service manager listens."""
    modules = folder / "modules"
    modules.mkdir(parents=True)
    (modules / "picamera2.py").write_text(_MODULE, encoding="utf-8")
    settings = {"camera": {**CAMERA, **camera}, "mqtt": {"enabled": False}, "gallery": str(folder / "gallery.sqlite")}
    config = folder / "ostiary.yaml"
    config.write_text(yaml.safe_dump(settings), encoding="utf-8")
    notify = folder / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(notify))
        manager.settimeout(30)
        environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{modules}", "NOTIFY_SOCKET": str(notify)}
        command = [sys.executable, "-m", "edge", "run", "--config", str(config)]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
            try:
                yield process, manager
            finally:
                process.kill()
