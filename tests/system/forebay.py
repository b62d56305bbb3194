"""A real forebay for the system tests: started in a folder of its own on ports the kernel chooses,
watched through its log, and stopped by its process id. Nothing here sleeps: it waits for log lines.

PROGRAM in the environment names the program; build/forebay unless set.
"""

import http.client
import json
import os
import pathlib
import shutil
import signal
import socket
import sqlite3
import subprocess
import tempfile
import threading
import unittest

import redis

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
PROGRAM = os.environ.get("PROGRAM", str(ROOT / "build/forebay"))
# How long anything may take before a test gives up; sanitizers are slow.
PATIENCE = 120

# Fruit, and a query that takes a while and shows in its answer how often it was really asked.
CONFIG = """
sources:
  shop: {sqlite: shop.db}
classes:
  fruit:
    key: "fruit:{name}"
    normalise: [trim, casefold]
    source: shop
    query: "SELECT name, price, colour FROM fruit WHERE name = :name"
    one: true
    ttl: 1h
    tags: ["colour:{colour}"]
  list:
    key: "list:{colour}"
    source: shop
    query: "SELECT name, price FROM fruit WHERE colour = :colour ORDER BY name"
    ttl: 1h
    tags: ["colour:{colour}"]
  slow:
    key: "slow:{rounds}"
    source: shop
    query: >
      WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :rounds)
      SELECT count(*) AS rounds FROM n
    one: true
    parameters: {rounds: {type: integer, min: 1}}
    ttl: 1h
    hard_timeout: 1m
"""
# A second or so of SQLite's time; under sanitizers more.
SLOW_ROUNDS = 3_000_000


def make_shop(path):
    with sqlite3.connect(path) as base:
        base.executescript("""
            CREATE TABLE fruit (name TEXT PRIMARY KEY, price REAL, colour TEXT);
            INSERT INTO fruit VALUES ('apple', 1.5, 'red'), ('cherry', 7.0, 'red'),
                ('plum', 2.25, 'blue'), ('lemon', 0.5, 'yellow'), ('pear', 3, NULL);
        """)
    base.close()


def clean_environment(extra=None):
    """The environment without what would configure forebay by accident."""
    kept = {name: value for name, value in os.environ.items()
            if not name.startswith(("FOREBAY_", "REDIS_"))}
    return {**kept, **(extra or {})}


def run(*words, env=None, cwd=None, stdin=""):
    """One forebay command to its end."""
    return subprocess.run([PROGRAM, *map(str, words)], input=stdin, capture_output=True, text=True,
                          env=clean_environment(env), cwd=cwd, timeout=PATIENCE)


class Log:
    """The lines that a process writes, as they come."""

    def __init__(self, stream):
        self.lines = []
        self.ended = False
        self.changed = threading.Condition()
        self.thread = threading.Thread(target=self.read, args=(stream,), daemon=True)
        self.thread.start()

    def read(self, stream):
        for line in stream:
            with self.changed:
                self.lines.append(line.rstrip("\n"))
                self.changed.notify_all()
        with self.changed:
            self.ended = True
            self.changed.notify_all()
        stream.close()

    def wait(self, wanted, since=0):
        """The first line from number `since` on for which wanted(line) is true."""
        def found():
            return next((line for line in self.lines[since:] if wanted(line)), None)
        with self.changed:
            self.changed.wait_for(lambda: found() or self.ended, PATIENCE)
            line = found()
        if line is None:
            raise AssertionError("not in the log:\n" + "\n".join(self.lines))
        return line


def event_of(line):
    try:
        return json.loads(line)
    except ValueError:
        return {}


class Server:
    """`forebay serve`. A context manager: leaving it stops the server and insists on status 0."""

    def __init__(self, config=CONFIG, env=None, arguments=(), folder=None, ports=(0, 0)):
        self.own_folder = None if folder else tempfile.mkdtemp(prefix="forebay-test.")
        self.folder = pathlib.Path(folder or self.own_folder)
        self.file = self.folder / "forebay.yaml"
        self.file.write_text(config)
        if not (self.folder / "shop.db").exists():
            make_shop(self.folder / "shop.db")
        self.command = [PROGRAM, "serve", "--config", str(self.file), "--set", "log.format=json",
                        "--set", f"listen.resp=127.0.0.1:{ports[0]}",
                        "--set", f"listen.http=127.0.0.1:{ports[1]}", *arguments]
        # All loops from the first client on, so that tests with two or three meet on different ones.
        self.env = clean_environment({"FOREBAY_LISTEN_LOOP_CLIENTS": "0", **(env or {})})
        self.process = None

    def start(self):
        self.process = subprocess.Popen(self.command, env=self.env, cwd=self.folder, text=True,
                                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.PIPE, errors="replace")
        self.log = Log(self.process.stderr)
        ready = self.wait_for("ready")
        self.resp_port, self.http_port = (
            int(ready[door].rsplit(":", 1)[1]) if ready[door] != "off" else None for door in ("resp", "http"))
        self.url = f"127.0.0.1:{self.resp_port}"
        return self

    def wait_for(self, event, since=0):
        return event_of(self.log.wait(lambda line: event_of(line).get("event") == event, since))

    def events(self, event):
        return [event_of(line) for line in self.log.lines if event_of(line).get("event") == event]

    def send_signal(self, number):
        self.process.send_signal(number)

    def wait(self):
        status = self.process.wait(PATIENCE)
        self.log.thread.join(PATIENCE)
        return status

    def stop(self, number=signal.SIGTERM):
        """Its exit status."""
        if self.process.poll() is None:
            self.send_signal(number)
        return self.wait()

    def remove(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        if self.own_folder:
            shutil.rmtree(self.own_folder)

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            self.remove()
            raise

    def __exit__(self, kind, *rest):
        try:
            status = self.stop() if kind is None else None
            assert status in (None, 0), f"ended with {status}:\n" + "\n".join(self.log.lines)
        finally:
            self.remove()

    # ---- asking

    def redis(self, **options):
        return redis.Redis(port=self.resp_port, decode_responses=True, **options)

    def stats(self, *class_name):
        with self.redis() as client:
            flat = client.execute_command("FB.STATS", *class_name)
        return dict(zip(flat[::2], flat[1::2])) if isinstance(flat, list) else flat

    def http(self, method, path, body=None, headers=None):
        """(status, headers, bytes)."""
        connection = http.client.HTTPConnection("127.0.0.1", self.http_port, timeout=PATIENCE)
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            connection.close()

    def get_json(self, path):
        status, _, body = self.http("GET", path)
        assert status == 200, (status, body)
        return json.loads(body)

    def cli(self, command, *words, **options):
        return run(command, "--url", self.url, *words, **options)

    def socket(self, port=None):
        return socket.create_connection(("127.0.0.1", port or self.resp_port), PATIENCE)


def command(*words):
    """RESP as clients send it."""
    parts = [str(word).encode() if not isinstance(word, bytes) else word for word in words]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)


def read_all(connection):
    """What comes until the peer closes."""
    got = b""
    while True:
        more = connection.recv(65536)
        if not more:
            return got
        got += more


class Replies:
    """Replies off a socket, one at a time: bytes, int, None, list, or an Exception."""

    def __init__(self, connection):
        self.file = connection.makefile("rb")

    def line(self):
        line = self.file.readline()
        if not line.endswith(b"\r\n"):
            raise EOFError(line)
        return line[:-2]

    def next(self):
        line = self.line()
        kind, rest = line[:1], line[1:]
        if kind == b"+":
            return rest
        if kind == b"-":
            return redis.ResponseError(rest.decode())
        if kind == b":":
            return int(rest)
        if kind == b"$":
            if rest == b"-1":
                return None
            body = self.file.read(int(rest) + 2)
            if len(body) != int(rest) + 2:
                raise EOFError(body)
            return body[:-2]
        if kind == b"*":
            return None if rest == b"-1" else [self.next() for _ in range(int(rest))]
        raise ValueError(line)


class TestCase(unittest.TestCase):
    maxDiff = None


def main():
    unittest.main(verbosity=1)
