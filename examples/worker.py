#!/usr/bin/env python3
"""A worker in Python: takes jobs of the queue `default` from a forebay, and does them.

    redis-cli -p 6380 FB.ENQUEUE default '{"name": "Ada"}' KIND greeting
    python3 examples/worker.py 6380

It needs nothing but a Redis client. A job that raises is tried again later; one that takes long says now and then
that it is still at it (FB.EXTEND), or somebody else would get it when its lease is over.
"""

import json
import sys

import redis


def do(kind, payload):
    print(f"{kind}: {payload}", flush=True)


def main(port):
    client = redis.Redis(port=port, decode_responses=True)
    while True:
        for identity, token, attempt, kind, payload in client.execute_command(
                "FB.RESERVE", "default", "COUNT", 10, "BLOCK", 30000):
            try:
                do(kind, json.loads(payload))
            except Exception as error:  # pylint: disable=broad-exception-caught
                print(f"{identity}, attempt {attempt}: {error}", file=sys.stderr)
                client.execute_command("FB.FAIL", "default", identity, token, "ERROR", str(error))
            else:
                client.execute_command("FB.ACK", "default", identity, token)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 6380)
