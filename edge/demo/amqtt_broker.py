"""`python -m edge.demo.amqtt_broker HOST PORT`: the pure Python broker, until it is terminated. Speaks MQTT 3.1.1."""

from __future__ import annotations

import asyncio
import sys


async def serve(host: str, port: int) -> None:
    """Run the broker for ever."""
    from amqtt.broker import Broker

    config = {
        "listeners": {"default": {"type": "tcp", "bind": f"{host}:{port}"}},
        "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
    }
    await Broker(config).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], int(sys.argv[2])))
