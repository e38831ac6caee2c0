"""Run by Home Assistant's own interpreter: keeps the server's address, which newer versions take back unless somebody confirms it.

python confirm.py URL TOKEN
"""

from __future__ import annotations

import asyncio
import sys

import aiohttp


async def confirm(url: str, token: str) -> None:
    """Older versions do not know the command, and need none."""
    async with aiohttp.ClientSession() as session, session.ws_connect(f"{url}/api/websocket") as socket:
        await socket.receive_json()
        await socket.send_json({"type": "auth", "access_token": token})
        assert (await socket.receive_json())["type"] == "auth_ok"
        await socket.send_json({"id": 1, "type": "http/config/promote"})
        answer = await socket.receive_json()
        assert answer["success"] or answer["error"]["code"] == "unknown_command", answer


if __name__ == "__main__":
    asyncio.run(confirm(*sys.argv[1:3]))
