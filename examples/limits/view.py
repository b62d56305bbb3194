#!/usr/bin/python3
"""Limits in a Python view with nothing but redis-py: forebay speaks Redis's protocol.

    forebay serve -c examples/limits/forebay.yaml
    view.py [FOREBAY [PORT]]      # 127.0.0.1:6380 and 8000 unless given

    curl -i -H 'X-User: ada' 'http://127.0.0.1:8000/generate?text=hello'
"""

import functools
import json
import sys
from wsgiref.simple_server import make_server

import redis

host, port = (sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:6380").rsplit(":", 1)
# Later than forebay itself would answer, whatever Redis does behind it.
forebay = redis.Redis(host=host, port=int(port), decode_responses=True, socket_timeout=1)


def limited(rule):
    """Lets a view be called as often as `rule` allows the user; the answer says how often that still is."""
    def decorate(view):
        @functools.wraps(view)
        def answer(environ, start_response):
            user = environ.get("HTTP_X_USER", "nobody")  # whom your session knows
            tier = ("TIER", "premium") if user.startswith("premium:") else ()
            try:
                flat = forebay.execute_command("FB.LIMIT", rule, f"user:{user}", *tier)
            except redis.RedisError as error:
                print("not limited:", error, file=sys.stderr)  # the service goes on
                return view(environ, start_response)
            verdict = dict(zip(flat[::2], flat[1::2]))
            headers = [("X-RateLimit-Limit", str(verdict["limit"])),
                       ("X-RateLimit-Remaining", str(verdict["remaining"]))]
            if verdict["allowed"]:
                return view(environ, lambda status, own: start_response(status, own + headers))
            if verdict["retry_ms"] > 0:
                headers.append(("Retry-After", str(-(-verdict["retry_ms"] // 1000))))
            start_response("429 Too Many Requests", [("Content-Type", "application/json"), *headers])
            return [json.dumps({"error": verdict["message"]}).encode()]
        return answer
    return decorate


@limited("generation")
def generate(environ, start_response):
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps({"generated": environ.get("QUERY_STRING", "")[::-1]}).encode()]


if __name__ == "__main__":
    with make_server("127.0.0.1", int(sys.argv[2]) if len(sys.argv) > 2 else 8000, generate) as server:
        print(f"http://127.0.0.1:{server.server_port}/", flush=True)
        server.serve_forever()
