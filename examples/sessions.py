#!/usr/bin/python3
"""Sessions and cached look-ups from Python with nothing but redis-py: forebay speaks Redis's protocol.

    sessions.py [HOST:PORT]      # a running forebay; 127.0.0.1:6380 unless given
"""

import json
import sys

import redis

host, port = (sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:6380").rsplit(":", 1)
cache = redis.Redis(host=host, port=int(port), decode_responses=True)

# As with Redis: a session that ends by itself, a counter, a scan.
cache.set("session:4711", json.dumps({"user": "ada", "rights": ["read", "write"]}), ex=24 * 3600)
cache.incr("logins:ada")
session = json.loads(cache.get("session:4711"))
print("signed in:", session["user"], "for", cache.ttl("session:4711"), "s")
print("sessions:", list(cache.scan_iter("session:*")))

# Beyond Redis: a class that is declared in the configuration is loaded by forebay itself, once for
# all who ask at the same time. Asked for a class that is not declared, it says so.
try:
    print("make:", cache.execute_command("FB.FETCH", "package", "name", "make"))
except redis.ResponseError as error:
    print("no package here:", error)

cache.delete("session:4711")
print("signed out:", cache.exists("session:4711") == 0)
