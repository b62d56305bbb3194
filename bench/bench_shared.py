#!/usr/bin/python3
"""Several forebay nodes over one Redis: what the shared tier costs, how fast a change is seen, and what
users feel when Redis is killed.

Four tables. Commands that Redis is sent for each kind of request, by its own count. How long after it
was sent an invalidation on one node is in force on two others, asked for without a pause. The CPU time
of a value from the shared tier: the client's, forebay's and Redis's processes, by the kernel's count,
beside clients of plain Redis that read the same values (rounds go through all in turn). And three nodes
under load before, while and after Redis is away, killed by -9.
"""

import pathlib
import random
import statistics
import subprocess
import sys
import threading
import time

import redis

import support
from support import say, skip

sys.path.insert(0, str(support.ROOT / "tests/system"))
import forebay  # noqa: E402 pylint: disable=wrong-import-position
import shared  # noqa: E402 pylint: disable=wrong-import-position

forebay.PROGRAM = support.PROGRAM
COUNTED = 200 if support.QUICK else 1000
SEEN = 300 if support.QUICK else 2000
KEYS, READS, ROUNDS = 10000, 4000 if support.QUICK else 20000, 3 if support.QUICK else 5
PHASE = 2 if support.QUICK else 6
HERE = pathlib.Path(__file__).resolve().parent
CLASSES = """
  cost: {key: "cost:{id}", ttl: 1h}
  key: {key: "key:{id}", ttl: 1h, order: shared-first}
  load:
    key: "load:{rounds}"
    source: shop
    query: >
      WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000)
      SELECT :rounds AS rounds, count(*) AS work FROM n
    one: true
    parameters: {rounds: {type: integer, min: 1}}
    ttl: 1h
    memory_ttl: 1s
    stale_ttl: 0
"""


# ---- commands of Redis

def commands(stage):
    server = stage.redis()
    one, other = stage.nodes(server.url, 2, more=CLASSES)

    def count(work):
        """Commands that Redis was sent meanwhile; those that scripts call are not among them."""
        def sent():
            rows = server.commands()
            return sum(calls for name, calls in rows.items() if name in ("evalsha", "eval", "script|load"))
        before, began = sent(), time.monotonic()
        work()
        return sent() - before, time.monotonic() - began
    idle, seconds = count(lambda: time.sleep(2))
    rate = idle / seconds
    rows = []
    numbers = range(1, COUNTED + 1)
    for what, work in (
            ("a miss (the source is asked)", lambda n: one.ask("FB.FETCH", "load", "rounds", n)),
            ("a hit in memory", lambda n: one.ask("FB.FETCH", "slow", "rounds", 1)),
            ("a hit in Redis", lambda n: other.ask("FB.FETCH", "load", "rounds", n)),
            ("SET", lambda n: one.ask("SET", f"cost:{n}", "x")),
            ("INCR", lambda n: one.ask("INCR", "number")),
            ("APPEND (read and write back)", lambda n: one.ask("APPEND", f"cost:{n}", "y")),
            ("DEL", lambda n: one.ask("DEL", f"cost:{n}")),
            ("INVALIDATE KEY", lambda n: one.ask("FB.INVALIDATE", "KEY", f"cost:{n}")),
            ("INVALIDATE KEY, WAIT REDIS", lambda n: one.ask("FB.INVALIDATE", "WAIT", "REDIS", "KEY", f"cost:{n}")),
            ("INVALIDATE KEY, WAIT NODES (of 2)",
             lambda n: one.ask("FB.INVALIDATE", "WAIT", "NODES", "KEY", f"cost:{n}")),
            ("INVALIDATE TAG", lambda n: one.ask("FB.INVALIDATE", "TAG", f"tag:{n}")),
            ("INVALIDATE CLASS", lambda n: one.ask("FB.INVALIDATE", "CLASS", "cost"))):
        work(1)
        taken, seconds = count(lambda work=work: [work(n) for n in numbers])
        rows.append((what, f"{max(0, taken - rate * seconds) / COUNTED:.2f}"))
    say("\nCommands of Redis")
    support.table(("of each", "commands"), rows)
    say(f"two nodes that do nothing: {rate:.1f} a second (each asks for all logs every quarter of max_lag)")


# ---- how soon the others know

def seen(stage):
    server = stage.redis()
    nodes = stage.nodes(server.url, 3, more=CLASSES)
    clients = [node.redis() for node in nodes]
    times = {"acknowledged (WAIT REDIS)": [], "in force on the second node": [], "in force on the third node": []}
    for number in range(SEEN):
        key = f"cost:{number}"
        clients[0].set(key, "x")
        for client in clients[1:]:
            shared.until(lambda client=client: client.get(key), "a value")
        began = time.monotonic()
        thread_free = clients[0].connection_pool.get_connection("x")
        thread_free.send_command("FB.INVALIDATE", "WAIT", "REDIS", "KEY", key)
        waiting = {1, 2}
        while waiting:
            for one in tuple(waiting):
                if clients[one].get(key) is None:
                    times[list(times)[one]].append(time.monotonic() - began)
                    waiting.discard(one)
        thread_free.read_response()
        clients[0].connection_pool.release(thread_free)
        began = time.monotonic()
        clients[0].execute_command("FB.INVALIDATE", "WAIT", "REDIS", "KEY", key)
        times["acknowledged (WAIT REDIS)"].append(time.monotonic() - began)
    say(f"\nAn invalidation, from when it was sent: {SEEN} of them, ms")
    support.table(("", "p50", "p90", "p99", "most"),
                  [(what, *(f"{ms(values, share):.2f}" for share in (0.5, 0.9, 0.99, 1)))
                   for what, values in times.items()])


def ms(values, share):
    ordered = sorted(values)
    return 1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0


# ---- CPU time

class Reader:
    """bench/peers/client.* at work: reads through one library from one socket."""

    def __init__(self, name, words, path):
        self.name = name
        self.process = subprocess.Popen([*words, str(path), str(KEYS)], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True, env=support.clean_environment())
        if self.process.stdout.readline() != "ready\n":
            raise RuntimeError(f"{name} did not start")

    def read(self, count):
        """CPU µs a read."""
        self.process.stdin.write(f"{count}\n")
        self.process.stdin.flush()
        used, _, found = self.process.stdout.readline().split()
        if float(found) != 1:
            raise RuntimeError(f"{self.name}: found {found} of all")
        return float(used) / 1000

    def end(self):
        self.process.stdin.close()
        self.process.wait(support.PATIENCE)
        self.process.stdout.close()


class Load:
    """The load of bench/peers/load.c, which costs next to nothing: 16 requests at once on each of 10
    connections."""

    def __init__(self, path):
        self.path = path

    def read(self, count):
        before = time.process_time_ns(), children_ns()
        done = subprocess.run([support.LOAD, "resp", self.path, "get", "10", "16", str(KEYS), str(count)],
                              capture_output=True, text=True, check=True, timeout=support.PATIENCE)
        got, _, hits, errors = map(int, done.stdout.split())
        if errors or hits != got:
            raise RuntimeError(f"load: {errors} errors, {hits} hits of {got}")
        return (children_ns() - before[1]) / count / 1000

    def end(self):
        pass


def children_ns():
    import resource
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (used.ru_utime + used.ru_stime) * 1e9


def sides(plain, node):
    """(what, reader, whether forebay is in between)"""
    python = ["/usr/bin/python3", HERE / "peers/client.py", "redis"]
    script = ["node", HERE / "peers/client.mjs", "ioredis"]
    has_node = support.find("node") is not None and support.npm_has("ioredis")
    if not has_node:
        skip("ioredis", "not installed")
    for between, path in ((False, plain.path), (True, node.folder / "forebay.sock")):
        to = "forebay, Redis" if between else "Redis"
        yield f"redis-py > {to}", Reader("redis-py", map(str, python), path), between
        if has_node:
            yield f"ioredis > {to}", Reader("ioredis", map(str, script), path), between
        yield f"load.c, 160 at once > {to}", Load(str(path)), between


def cpu(stage):
    server, plain = stage.redis(), stage.redis()
    node = stage.node(f"unix://{server.path}", more=CLASSES, arguments=("--set", "listen.socket=forebay.sock"))
    value = "x" * 100
    with node.redis() as through, plain.client() as direct:
        for number in range(KEYS):
            through.set(f"key:{number:016d}", value)
            direct.set(f"key:{number:016d}", value)
    readers = list(sides(plain, node))
    figures = {what: [] for what, _, _ in readers}
    asked = node.shared()["values"]
    for _ in range(ROUNDS):
        for what, reader, between in readers:
            redis_pid = (server if between else plain).process.pid
            before = support.cpu_ns(redis_pid), support.cpu_ns(node.process.pid)
            count = READS * 5 if isinstance(reader, Load) else READS
            client = reader.read(count)
            # A reader warms up and looks again at the end: 2000 reads more.
            all_reads = count if isinstance(reader, Load) else count + 2000
            in_redis = (support.cpu_ns(redis_pid) - before[0]) / all_reads / 1000
            in_forebay = (support.cpu_ns(node.process.pid) - before[1]) / all_reads / 1000 if between else 0
            figures[what].append((client, in_forebay, in_redis))
    taken = node.shared()["values"] - asked
    for _, reader, _ in readers:
        reader.end()
    rows = []
    for what, rounds in figures.items():
        client, own, its = (statistics.median(one) for one in zip(*rounds))
        rows.append((what, f"{client:.1f}", f"{own:.1f}" if own else "-", f"{client + own:.1f}", f"{its:.1f}"))
    say(f"\nCPU time of a value of 100 bytes out of Redis, µs (median of {ROUNDS} rounds; "
        f"{taken} reads went through forebay to Redis)")
    support.table(("", "client", "forebay", "both", "Redis"), rows)


# ---- kill -9

class Crew:
    """Requests to three nodes; what they took, by when."""

    def __init__(self, nodes):
        self.samples, self.errors, self.ended = [], 0, threading.Event()
        self.threads = [threading.Thread(target=self.run, args=(node, i), daemon=True)
                        for i, node in enumerate(nodes * 2)]
        for thread in self.threads:
            thread.start()

    def run(self, node, seed):
        chance = random.Random(seed)
        mine = []
        with node.redis() as client:
            while not self.ended.is_set():
                number = min(int(chance.paretovariate(0.6)), 20000)
                began = time.monotonic()
                try:
                    if chance.random() < 0.02:
                        client.execute_command("FB.INVALIDATE", "KEY", f"load:{number}")
                    else:
                        client.execute_command("FB.FETCH", "load", "rounds", number)
                except redis.RedisError:
                    self.errors += 1
                mine.append((began, time.monotonic() - began))
                time.sleep(0.0005)
        self.samples += mine

    def end(self):
        self.ended.set()
        for thread in self.threads:
            thread.join(support.PATIENCE)


def outage(stage):
    server = stage.redis()
    # The tests wait longer for Redis than forebay does by itself.
    nodes = stage.nodes(server.url, 3, more=CLASSES, arguments=("--set", "redis.hard_timeout=50ms"))
    crew = Crew(nodes)
    time.sleep(PHASE)  # warm
    phases, marks = [], []

    def figures():
        rows = [node.stats("load") for node in nodes]
        return {name: sum(int(row[name]) for row in rows) for name in ("hits", "misses", "loads", "errors")}

    def phase(name, work):
        before, began = figures(), time.monotonic()
        work()
        time.sleep(max(0, PHASE - (time.monotonic() - began)))
        after = figures()
        phases.append((name, {key: after[key] - before[key] for key in after}))
        marks.append((began, time.monotonic()))
    phase("before", lambda: None)
    phase("killed -9, away", server.kill)

    def back():
        server.start()
        for node in nodes:
            node.wait_coherent()
    phase("back, empty", back)
    phase("after", lambda: None)
    crew.end()
    rows = []
    for (name, grown), (began, ended) in zip(phases, marks):
        times = [took for at, took in crew.samples if began <= at < ended]
        reads = grown["hits"] + grown["misses"]
        rows.append((name, f"{len(times) / (ended - began):.0f}", f"{100 * grown['hits'] / reads:.1f} %",
                     f"{grown['loads'] / (ended - began):.0f}",
                     *(f"{ms(times, share):.2f}" for share in (0.5, 0.99, 1)), grown["errors"]))
    say("\nRedis killed by -9 under load: three nodes, six clients")
    support.table(("", "requests/s", "hit rate", "loads/s", "p50 ms", "p99 ms", "most ms", "failed"), rows)
    say(f"failed requests in all: {crew.errors}")


def main():
    if not shared.HAS_REDIS:
        skip("everything", "no redis-server here")
        return
    say(f"shared: {support.machine()}")
    for part in (commands, seen, cpu, outage):
        with shared.Stage() as stage:
            part(stage)


main()
