#!/usr/bin/env python3
"""What was slow is kept for all processes of this host.

    pip install ./clients/python
    make run                                # in another terminal
    examples/python/cached.py [ADDRESS]     # 127.0.0.1:6380, or unix:/path/to/the/socket
"""

import sys
import time

import forebay

cache = forebay.Client(sys.argv[1] if len(sys.argv) > 1 else None)


@cache.cached(ttl=300)
def primes(below):
    """The slow way."""
    return [n for n in range(2, below) if all(n % d for d in range(2, int(n ** 0.5) + 1))]


def timed(label, call):
    start = time.perf_counter()
    result = call()
    print(f"{label:<28} {(time.perf_counter() - start) * 1e6:10.1f} us")
    return result


# One line made this shared: run this program twice, and the second run has no slow first call.
timed("primes(50000), first", lambda: primes(50000))
timed("primes(50000), again", lambda: primes(50000))
print("kept as", primes.key(50000))

# Plain keys: JSON in, JSON out.
cache.set("session:4711", {"user": "ada", "rights": ["read", "write"]}, ttl=3600)
print("signed in:", cache.get("session:4711")["user"], "for", round(cache.ttl("session:4711")), "s")
print("logins:", cache.incr("logins:ada"))

# A class that the server's configuration declares is loaded by forebay itself, once for all who ask.
try:
    package = cache.fetch("package", name="bash")
    print("bash:", package["version"] if package else "no such package")
    print("no such thing:", cache.fetch("package", name="no-such-package"))
except forebay.NoSuchClass as error:
    print("this server has no packages:", error)

print(cache.figures())
