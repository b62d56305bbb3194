#!/usr/bin/python3
"""forebay's RESP door beside redis-server and memcached: CPU time of the server for one request.

Each server listens on a Unix socket and holds the same 100,000 keys with values of 100 bytes. The
load comes from one program for all of them (bench/peers/load.c): 50 connections, 1 or 16 requests at once
on each, keys drawn evenly. What is reported is the server's CPU time by the kernel's own count, so
that neither the load nor others on the machine are in it, and requests a second, which they are in.
Rounds go through all servers in turn; ratios are made within a round.

Then each is written to for a while with values of all sizes, whose mix changes, with lifetimes and
deletes, far beyond its limit of 256 MiB: how much memory the process really has at most.
"""

import contextlib
import pathlib
import random
import socket
import subprocess
import time

import support
from support import find, median, say, skip

ROUNDS = 3 if support.QUICK else 7
KEYS = 100000
CONNECTIONS = 50
# Operation, requests at once, requests in a round.
CASES = (("get", 1, 100000), ("set", 1, 100000), ("get", 16, 400000), ("set", 16, 400000))
THREADS = 2
LIMIT = 256 << 20
CHURN_SECONDS, CHURN_KEYS, CHURN_BATCH = 5 if support.QUICK else 20, 1000000, 200
CHURN_GOAL = 1.05  # of the limit, for the whole process of ours
MIDDLES = (64, 2048, 300, 8192, 100, 900)


class Side:
    """One server, and what was measured of it."""

    def __init__(self, server, protocol, program):
        self.server = server
        self.protocol = protocol
        self.version = version_of(program)
        self.figures = {case: [] for case in CASES}
        before = support.rss_bytes(server.pid)
        self.load("fill", 16, KEYS)
        self.bytes_each = (support.rss_bytes(server.pid) - before) / KEYS

    def load(self, operation, depth, requests):
        """(requests a second, CPU ns a request)"""
        before = support.cpu_ns(self.server.pid)
        done = subprocess.run([support.LOAD, self.protocol, self.server.socket, operation,
                               str(CONNECTIONS), str(depth), str(KEYS), str(requests)],
                              capture_output=True, text=True, check=True, timeout=support.PATIENCE)
        used = support.cpu_ns(self.server.pid) - before
        count, elapsed, hits, errors = map(int, done.stdout.split())
        if errors or count != requests or (operation == "get" and hits != requests):
            raise RuntimeError(f"{self.server.name}: {errors} errors, {hits} hits of {requests}")
        return count / elapsed * 1e9, used / count


def version_of(program):
    done = subprocess.run([program, "version" if program == support.PROGRAM else "--version"],
                          capture_output=True, text=True, check=False)
    return done.stdout.strip().split("\n")[0]


class Churn:
    """Writes to one server over one connection, and watches its memory."""

    def __init__(self, side):
        self.memcached = side.protocol == "memcached"
        self.pid = side.server.pid
        self.path = side.server.socket
        self.random = random.Random(1)
        self.blob = b"v" * (1 << 20)

    def size(self, phase):
        chance = self.random.random()
        if chance < 0.001:
            return self.random.randrange(1000000)
        if chance < 0.01:
            return 16384 + self.random.randrange(131072)
        return 1 + self.random.randrange(2 * MIDDLES[phase % len(MIDDLES)])

    def request(self, phase):
        key = b"key:%016d" % self.random.randrange(CHURN_KEYS)
        seconds = self.random.randrange(1, 30) if self.random.random() < 0.66 else 0
        if self.random.random() < 0.05:
            return b"delete %s\r\n" % key if self.memcached else b"*2\r\n$3\r\nDEL\r\n$20\r\n%s\r\n" % key
        value = self.blob[:self.size(phase)]
        if self.memcached:
            return b"set %s 0 %d %d\r\n%s\r\n" % (key, seconds, len(value), value)
        life = b"$2\r\nEX\r\n$%d\r\n%d\r\n" % (len(str(seconds)), seconds) if seconds else b""
        return b"*%d\r\n$3\r\nSET\r\n$20\r\n%s\r\n$%d\r\n%s\r\n%s" % (
            5 if seconds else 3, key, len(value), value, life)

    def run(self):
        """(the most memory, writes)"""
        most = writes = 0
        begun = time.monotonic()
        with socket.socket(socket.AF_UNIX) as one:
            one.connect(self.path)
            while (elapsed := time.monotonic() - begun) < CHURN_SECONDS:
                one.sendall(b"".join(self.request(int(elapsed / 2)) for _ in range(CHURN_BATCH)))
                lines = 0
                while lines < CHURN_BATCH:
                    got = one.recv(65536)
                    if not got:
                        raise RuntimeError("the server closed the connection")
                    lines += got.count(b"\n")
                writes += CHURN_BATCH
                most = max(most, support.rss_bytes(self.pid))
        return most, writes


def churn(sides):
    say(f"\n{CHURN_SECONDS} s of writes of all sizes, limit 256 MiB: the most memory the whole process had")
    rows = []
    for side in sides:
        most, writes = Churn(side).run()
        rows.append([side.server.name, f"{most / 1e6:.0f}", f"{100 * most / LIMIT:.1f}", f"{writes / 1e3:.0f}"])
        if side is sides[0]:
            ours = most / LIMIT
    support.table(["server", "MB", "% of the limit", "thousand writes"], rows)
    say(f"forebay had {100 * ours:.1f} %, goal {100 * CHURN_GOAL:.0f}: {'met' if ours <= CHURN_GOAL else 'missed'}")


def measure(sides):
    for _ in range(ROUNDS):
        for case in CASES:
            for side in sides:
                side.figures[case].append(side.load(*case))


def show(sides):
    for operation, depth, requests in CASES:
        case = (operation, depth, requests)
        rows = []
        for side in sides:
            figures = side.figures[case]
            ratio = median(one[1] / own[1] for one, own in zip(figures, sides[0].figures[case]))
            rows.append([side.server.name, f"{median(one[1] for one in figures) / 1e3:.2f}", f"{ratio:.2f}x",
                         f"{median(one[0] for one in figures) / 1e3:.0f}"])
        say(f"\n{operation.upper()}, {depth} at once on each of {CONNECTIONS} connections")
        support.table(["server", "CPU us a request", "of ours", "thousand a second"], rows)
    say("\nmemory the server grew by when the keys came, for each (key of 20 bytes, value of 100)")
    support.table(["server", "bytes"], [[side.server.name, f"{side.bytes_each:.0f}"] for side in sides])


def main():
    say(f"bench_servers: medians of {ROUNDS} interleaved rounds; {support.machine()}")
    with support.folder() as path, contextlib.ExitStack() as stack:
        folder = pathlib.Path(path)
        def start(start_it, *arguments):
            server = start_it(folder, *arguments)
            return server and stack.enter_context(server)

        started = [("forebay", start(support.start_forebay), "resp", support.PROGRAM),
                   ("redis-server", start(support.start_redis), "resp", find("redis-server")),
                   ("memcached", start(support.start_memcached, THREADS), "memcached", find("memcached"))]
        sides = []
        for name, server, protocol, program in started:
            if server is None:
                skip(name, "it is not installed")
            else:
                sides.append(Side(server, protocol, program))
                say(f"{name}: {sides[-1].version}")
        measure(sides)
        show(sides)
        churn(sides)


main()
