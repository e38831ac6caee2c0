"""python3 subscriber.py [HOST]: says who may come in. Needs paho-mqtt 2."""

import json
import sys

import paho.mqtt.client as mqtt


def on_message(client, userdata, message):
    event = json.loads(message.payload)
    if not message.retain and event["allowed"] and not event["replayed"] and event["age_ms"] < 2000:
        print("open for", event["identity"]["id"], repr(event["identity"]["name"]), flush=True)


client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
client.on_connect = lambda client, *_: client.subscribe("ostiary/+/event", qos=1)
client.on_message = on_message
host, _, port = (sys.argv[1:] or ["localhost"])[0].partition(":")
client.connect(host, int(port or 1883))
client.loop_forever()
