#!/usr/bin/python3
"""The queue: what it costs to accept a job and to have it done, beside peers in the same run.

Durable, on this machine's disk: the daemon's journal (durability: power) beside beanstalkd -f0, which
flushes after each job, too: jobs accepted a second by 1, 8 and 32 producers, each of which waits for its
answer; reserving and acknowledging in batches of 10; CPU time of the server a job. In Redis: the CPU time of
redis-server a job, accepted, reserved and acknowledged by 4 callers in batches of 10, beside BullMQ on the same server.
Latencies: of accepting, by the clock of one caller, while a backlog of other priorities waits; and of
accepting mails while their relay is away, and while it takes connections and says nothing.
"""

import contextlib
import pathlib
import socket
import subprocess
import tempfile
import time

import support
from support import find, median, say, skip

ROUNDS = 2 if support.QUICK else 5
JOBS = 4000 if support.QUICK else 20000
# The peer flushes once a job: so many take as long.
PEER_JOBS = JOBS // 4
REDIS_JOBS = 4000 if support.QUICK else 20000
PRODUCERS = (1, 8, 32)
BATCH = 10
# At once, in Redis: so a server is not asleep between any two questions.
CALLERS = 4
BACKLOG = 50000 if support.QUICK else 500000
PUT = "FB.ENQUEUE default %v"
PUT_BATCH = "FB.MENQUEUE default PAYLOADS" + " %v" * BATCH


def durable_folder():
    """On a disk, since flushing is what is measured."""
    return tempfile.TemporaryDirectory(prefix="forebay-bench.", dir="/var/tmp")


def start_forebay(folder, redis=None, more=""):
    folder.mkdir()
    config = folder / "forebay.yaml"
    store = f"redis: {{url: 'unix://{redis}', namespace: bench}}\n" if redis else ""
    config.write_text(f"listen: {{resp: 'unix:{folder / 'forebay.sock'}', http: off}}\nmemory: 16MiB\n{store}"
                      f"queue: {{file: '{folder / 'queue.db'}', durability: power}}\n{more}")
    return support.Server("forebay", folder, support.PROGRAM, "serve", "-c", config)


def start_beanstalkd(folder):
    program = find("beanstalkd")
    if program is None:
        skip("beanstalkd", "it is not installed")
        return None
    folder.mkdir()
    socket = folder / "beanstalkd.sock"
    return support.Server("beanstalkd", folder, program, "-l", f"unix:{socket}", "-b", folder, "-f0")


def start_redis(folder):
    program = find("redis-server")
    if program is None:
        skip("over Redis", "no redis-server here")
        return None
    return support.Server("redis", folder, program, "--port", "0", "--unixsocket", folder / "redis.sock", "--save", "",
                          "--appendonly", "yes", "--appendfsync", "everysec", "--dir", folder)


def run(server, *words):
    """CPU ns of the server, and the elapsed ns that the program says, behind what it counted."""
    before = support.cpu_ns(server.pid)
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, timeout=600, check=False)
    used = support.cpu_ns(server.pid) - before
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, words))}: {done.stderr}")
    answer = list(map(int, done.stdout.split()))
    if len(answer) > 2 and answer[3] > 0:
        raise RuntimeError(f"{' '.join(map(str, words))}: {answer[3]} errors")
    return used, answer[1]


# ---- on the disk

class Side:
    def __init__(self, server, protocol, words, jobs):
        self.server, self.protocol, self.words, self.jobs = server, protocol, words, jobs
        self.rate = {count: [] for count in (*PRODUCERS, "work")}
        self.cpu = {count: [] for count in (*PRODUCERS, "work")}

    def note(self, what, jobs, used, elapsed):
        self.rate[what].append(jobs / elapsed * 1e9)
        self.cpu[what].append(used / jobs / 1000)

    def round(self):
        """As many are accepted by each number of producers, and then all are done."""
        for producers in PRODUCERS:
            used, elapsed = run(self.server, support.LOAD, self.protocol, self.server.socket, self.words, producers, 1,
                                1, self.jobs)
            self.note(producers, self.jobs, used, elapsed)
        jobs = self.jobs * len(PRODUCERS)
        self.note("work", jobs, *run(self.server, support.JOBS, self.protocol, self.server.socket, jobs, BATCH))


def durable(folder):
    with contextlib.ExitStack() as stack:
        own = stack.enter_context(start_forebay(folder / "own"))
        sides = [Side(own, "resp", PUT, JOBS)]
        peer = start_beanstalkd(folder / "peer")
        if peer:
            sides.append(Side(stack.enter_context(peer), "beanstalkd", "put", PEER_JOBS))
        for number in range(ROUNDS + 1):
            for side in sides:
                if number == 1:
                    for samples in (*side.rate.values(), *side.cpu.values()):
                        samples.clear()
                side.round()
    rows = []
    for what in (*PRODUCERS, "work"):
        name = f"accepted, {what} producers" if what != "work" else f"reserved and acknowledged, {BATCH} at a time"
        row = [name]
        for side in sides:
            row += [f"{median(side.rate[what]):.0f}", f"{median(side.cpu[what]):.1f}"]
        if peer:
            row.append(f"{median(a / b for a, b in zip(sides[0].rate[what], sides[1].rate[what])):.2f}x")
        rows.append(row)
    say("\nDurable, on the disk: jobs a second, and the server's CPU µs a job")
    head = ["forebay", "CPU µs", *(["beanstalkd -f0", "CPU µs", "times its rate"] if peer else [])]
    support.table(["", *head], rows)


# ---- in Redis

class Bull(support.Process):
    def __init__(self, socket):
        super().__init__("node", support.PEERS / "bull.mjs", socket, BATCH, CALLERS, stdin=subprocess.PIPE,
                         stdout=subprocess.PIPE, text=True, cwd=support.PEERS)
        if self.process.stdout.readline() != "ready\n":
            raise RuntimeError("bull.mjs did not start")

    def ask(self, what, count):
        self.process.stdin.write(f"{what} {count}\n")
        self.process.stdin.flush()
        if not self.process.stdout.readline():
            raise RuntimeError("bull.mjs ended by itself")


def has_bull():
    if find("node") is None or not support.npm_has("bullmq"):
        skip("BullMQ", "no Node.js, or it is not installed in bench/peers")
        return False
    return True


def in_redis(folder):
    redis = start_redis(folder)
    if redis is None:
        return
    with contextlib.ExitStack() as stack:
        stack.enter_context(redis)
        own = stack.enter_context(start_forebay(folder / "over-redis", redis.socket))
        bull = stack.enter_context(Bull(redis.socket)) if has_bull() else None
        figures = {name: {"add": [], "work": []} for name in ("forebay", "BullMQ")}

        def own_add():
            run(redis, support.LOAD, "resp", own.socket, PUT_BATCH, CALLERS, 1, 1, REDIS_JOBS // BATCH)

        def own_work():
            words = [str(word) for word in (support.JOBS, "resp", own.socket, REDIS_JOBS // CALLERS, BATCH)]
            crew = [subprocess.Popen(words, stdout=subprocess.DEVNULL) for _ in range(CALLERS)]
            if any([one.wait(600) for one in crew]):
                raise RuntimeError(f"{' '.join(words)} failed")
        for number in range(ROUNDS + 1):
            steps = [("forebay", "add", own_add), ("forebay", "work", own_work)]
            if bull:
                steps += [("BullMQ", what, lambda what=what: bull.ask(what, REDIS_JOBS)) for what in ("add", "work")]
            for name, what, step in steps:
                before = support.cpu_ns(redis.pid)
                step()
                if number > 0:
                    figures[name][what].append((support.cpu_ns(redis.pid) - before) / REDIS_JOBS / 1000)
    rows = []
    for name, samples in figures.items():
        if samples["add"]:
            both = [a + b for a, b in zip(samples["add"], samples["work"])]
            ours = [a + b for a, b in zip(figures["forebay"]["add"], figures["forebay"]["work"])]
            rows.append([name, *(f"{median(samples[what]):.2f}" for what in ("add", "work")), f"{median(both):.2f}",
                         f"{median(a / b for a, b in zip(ours, both)):.3f}x"])
    say(f"\nIn Redis (AOF, everysec), {CALLERS} callers, {BATCH} at a time: CPU µs of redis-server a job")
    support.table(["", "accepted", "reserved and done", "in all", "forebay is"], rows)


# ---- a backlog

def latencies(client, *words, count=2000):
    taken = []
    for _ in range(count):
        begin = time.perf_counter()
        client.execute_command(*words)
        taken.append((time.perf_counter() - begin) * 1000)
    taken.sort()
    return taken[len(taken) // 2], taken[len(taken) * 99 // 100]


def backlog(folder):
    import redis
    rows = []
    with start_forebay(folder / "backlog") as own, redis.Redis(unix_socket_path=own.socket) as client:
        count = 200 if support.QUICK else 2000
        for size in (0, BACKLOG):
            if size:
                run(own, support.LOAD, "resp", own.socket, "FB.MENQUEUE default PRI 9 PAYLOADS" + " v" * 20, 8, 1, 1,
                    BACKLOG // 20)
            put = latencies(client, "FB.ENQUEUE", "default", "v" * 100, "PRI", "0", count=count)
            take = latencies(client, "FB.RESERVE", "default", count=count)
            rows.append([f"{size} jobs wait", *(f"{ms:.3f}" for ms in (*put, *take))])
    say("\nOne caller, jobs of priority 0 before a backlog of priority 9: ms")
    support.table(["", "accepted p50", "p99", "reserved p50", "p99"], rows)


# ---- mails

def relays(folder):
    """Accepting a mail is a job on disk, whatever its relay does."""
    import redis
    rows = []
    count = 200 if support.QUICK else 2000
    with socket.create_server(("127.0.0.1", 0), backlog=100) as silent, socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # and does not listen
        for name, where in (("a Maildir", None), ("a relay that is away", nobody), ("one that says nothing", silent)):
            relay = f"smtp://127.0.0.1:{where.getsockname()[1]}" if where else ""
            more = (f"mail:\n  maildir: '{folder / 'maildir'}'\n" +
                    (f"  relays: {{main: {{url: '{relay}', tls: off}}}}\n" if relay else ""))
            with start_forebay(folder / name.replace(" ", "-"), more=more) as own, \
                    redis.Redis(unix_socket_path=own.socket) as client:
                p50, p99 = latencies(client, "FB.MAIL", "otp", "ada@example.org", "code", "042137", count=count)
                rows.append([name, f"{p50:.3f}", f"{p99:.3f}"])
    say("\nOne caller, mails: ms until one is accepted")
    support.table(["", "p50", "p99"], rows)


def main():
    say(f"bench_queue: medians of {ROUNDS} interleaved rounds; {support.machine()}")
    with durable_folder() as path:
        folder = pathlib.Path(path)
        durable(folder)
        in_redis(folder)
        backlog(folder)
        relays(folder)


main()
