#!/usr/bin/python3
"""Reading from Python and from Node.js: forebay's clients, which read the daemon's memory, beside
redis-py and ioredis, which ask for the same value over a Unix socket, forebay and redis-server.

CPU time and time on the wall of the client for one GET of a value of 100 bytes; of the round trips
the server's CPU time is not in it. Then eight processes that read at once. Rounds go through all in
turn; ratios are of time on the wall, made within a round: that is what a program waits.
"""

import contextlib
import os
import pathlib
import subprocess
import sys
import zipfile

import support
from support import find, median, say, skip

ROUNDS = 3 if support.QUICK else 5
SIZES = (10000, 1000000)
PROCESSES = 8
READS, ROUND_TRIPS = 200000, 10000
CLIENTS = support.ROOT / "clients"


class Reader(support.Process):
    """A process that reads through one client."""

    def __init__(self, name, words, count, environment=None):
        self.name = name
        self.count = count
        self.figures = []
        super().__init__(*words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                         text=True, environment=environment)
        if self.process.stdout.readline() != "ready\n":
            self.process.wait()
            raise RuntimeError((self.process.stderr.read().strip().splitlines() or ["it ended"])[-1])

    def begin(self):
        self.process.stdin.write(f"{self.count}\n")
        self.process.stdin.flush()

    def end(self):
        self.figures.append([float(word) for word in self.process.stdout.readline().split()])

    def __exit__(self, *_):
        self.process.stdin.close()
        super().__exit__()
        self.process.stderr.close()


def build_python(folder):
    """The package in `folder`, by its own build backend; its environment, or None."""
    if not (CLIENTS / "python/pyproject.toml").is_file():
        return skip("forebay for Python", "clients/python is not there")
    code = (f"import sys; sys.path.insert(0, {str(CLIENTS / 'python/backend')!r})\n"
            f"import forebay_build; print(forebay_build.build_wheel({str(folder)!r}))")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True,
                          cwd=CLIENTS / "python", check=False)
    if done.returncode != 0:
        return skip("forebay for Python", (done.stderr.strip().splitlines() or ["it does not build"])[-1])
    zipfile.ZipFile(folder / done.stdout.split()[-1]).extractall(folder / "python")
    return {"PYTHONPATH": str(folder / "python")}


def build_node():
    if find("node") is None:
        return skip("Node.js", "it is not installed")
    done = subprocess.run(["node", "build.js"], cwd=CLIENTS / "js", capture_output=True, text=True, check=False)
    if done.returncode != 0:
        return skip("forebay for Node.js", (done.stderr.strip().splitlines() or ["it does not build"])[0])
    return True


def python_has_redis():
    done = subprocess.run([sys.executable, "-c", "import redis"], capture_output=True, check=False)
    return done.returncode == 0 or skip("redis-py", "python3-redis is not installed")


class Bench:
    def __init__(self, folder, forebay, redis):
        self.forebay = forebay.socket
        self.redis = redis and redis.socket
        self.python = build_python(folder)
        self.node = build_node()
        self.redis_py = python_has_redis()
        self.ioredis = find("node") and (support.npm_has("ioredis") or
                                         skip("ioredis", "it is not installed in bench/peers"))

    def commands(self, keys):
        """(name, words, reads in a round, environment)"""
        def script(name):
            return [sys.executable] if name.endswith(".py") else ["node"], support.PEERS / name

        def words(name, library, socket):
            program, path = script(name)
            return [*program, path, library, socket, keys]

        if self.python:
            yield "Python, forebay get", words("client.py", "forebay", self.forebay), READS, self.python
            yield "Python, forebay get_bytes", words("client.py", "forebay-bytes", self.forebay), READS, self.python
        if self.redis_py:
            yield "Python, redis-py to forebay", words("client.py", "redis", self.forebay), ROUND_TRIPS, None
            if self.redis:
                yield "Python, redis-py to redis-server", words("client.py", "redis", self.redis), ROUND_TRIPS, None
        if self.node:
            yield "Node.js, forebay peek", words("client.mjs", "forebay-peek", self.forebay), READS, None
            yield "Node.js, forebay peekInto", words("client.mjs", "forebay-into", self.forebay), READS, None
            yield "Node.js, forebay get", words("client.mjs", "forebay", self.forebay), READS, None
        if self.ioredis:
            yield "Node.js, ioredis to forebay", words("client.mjs", "ioredis", self.forebay), ROUND_TRIPS, None
            if self.redis:
                yield "Node.js, ioredis to redis-server", words("client.mjs", "ioredis", self.redis), ROUND_TRIPS, None

    def fill(self, keys):
        for socket in filter(None, (self.forebay, self.redis)):
            subprocess.run([support.LOAD, "resp", socket, "fill", "10", "64", str(keys), str(keys)], check=True,
                           stdout=subprocess.DEVNULL)

    def run(self, keys):
        self.fill(keys)
        with contextlib.ExitStack() as stack:
            readers = []
            for name, words, count, environment in self.commands(keys):
                try:
                    readers.append(stack.enter_context(Reader(name, words, count, environment)))
                except RuntimeError as error:
                    skip(name, error)
            for reader in readers:  # until Node.js has compiled what is at work
                reader.begin()
                reader.end()
                reader.figures.clear()
            for _ in range(ROUNDS):
                for reader in readers:
                    reader.begin()
                    reader.end()
            show(keys, readers)

    def run_many(self, keys):
        rows = []
        commands = list(self.commands(keys))
        for language, name in (("Python", "Python, forebay get"), ("Node.js", "Node.js, forebay peek")):
            for one in commands:
                if one[0] == name:
                    rows.append(self.run_processes(language, one))
        say(f"\n{PROCESSES} processes reading at once, {keys} keys, on {os.cpu_count()} processors")
        support.table(["client", "CPU ns a get, median", "slowest process", "million a second in all",
                       "found %"], rows)

    def run_processes(self, language, command):
        name, words, count, environment = command
        with contextlib.ExitStack() as stack:
            crew = [stack.enter_context(Reader(name, words, 5 * count, environment)) for _ in range(PROCESSES)]
            for _ in range(ROUNDS):
                for one in crew:
                    one.begin()
                for one in crew:
                    one.end()
            cpu = [median(figures[0] for figures in one.figures) for one in crew]
            rates = [sum(1e3 / one.figures[i][1] for one in crew) for i in range(ROUNDS)]
            found = min(figures[2] for one in crew for figures in one.figures)
            return [language, f"{median(cpu):.0f}", f"{max(cpu):.0f}", f"{median(rates):.1f}", f"{100 * found:.1f}"]


def show(keys, readers):
    say(f"\n{keys} keys: one GET")
    base = {}
    rows = []
    for reader in readers:
        language = reader.name.split(",")[0]
        own = base.setdefault(language, reader)
        ratio = median(one[1] / other[1] for one, other in zip(reader.figures, own.figures))
        rows.append([reader.name, *(f"{median(one[i] for one in reader.figures):.0f}" for i in (0, 1)),
                     f"{ratio:.1f}x", f"{100 * min(one[2] for one in reader.figures):.1f}"])
    support.table(["client", "CPU ns", "wall ns", "times the first", "found %"], rows)


def main():
    say(f"bench_clients: medians of {ROUNDS} interleaved rounds; {support.machine()}")
    with support.folder() as path, contextlib.ExitStack() as stack:
        folder = pathlib.Path(path)
        forebay = stack.enter_context(support.start_forebay(folder, memory="512MiB", region=True))
        redis = support.start_redis(folder, memory="512mb")
        if redis is None:
            skip("redis-server", "it is not installed")
        else:
            stack.enter_context(redis)
        bench = Bench(folder, forebay, redis)
        for keys in SIZES:
            bench.run(keys)
        bench.run_many(SIZES[0])


main()
