#!/usr/bin/python3
"""Rate limits: what a check costs, beside peers in the same run, and how long it takes over Redis when all
is well and when it is not.

Three parts. In process, through the public API (bench/peers/limits.c): CPU time a check by algorithm,
allowed and denied, at 10 k and 1 M keys, by 1 and 2 threads, and the bytes of a key; beside npm's
rate-limiter-flexible in memory. The daemon: CPU time of the server for a check, by load.c, beside a GCRA
script by EVALSHA on redis-server (bench/peers/gcra.lua). Over Redis: how long an answer takes, and the
longest one while Redis is killed, stopped, emptied. bench_limits_windows has what gets through.
"""

import contextlib
import pathlib
import subprocess
import sys
import threading
import time

import support
from support import find, median, say, skip

sys.path.insert(0, str(support.ROOT / "tests/system"))
import shared  # noqa: E402 pylint: disable=wrong-import-position

ROUNDS = 3 if support.QUICK else 5
SIZES = (10000, 1000000)
CALLS = 200000 if support.QUICK else 1000000
PEER_CALLS = CALLS // 5
ASKED = ("open 1", "open 2", "shut 1", "shut 2")
WORDS = {"open 1": "allowed", "open 2": "2 threads", "shut 1": "denied", "shut 2": "2 threads"}
# Name, the rest of the rule, its limit where it is reached, and what is allowed without an end and in which
# window (so long that a key is still in use when it is asked for again): None where that is so few that the
# window has to be short for it.
ALGORITHMS = (
    ("token", "algorithm: token", 10, (1000000, "24h")),
    ("sliding, 10 (exact)", "algorithm: sliding", 10, None),
    ("sliding, 64 (exact)", "algorithm: sliding", 64, None),
    ("sliding, 1000 (16 parts)", "algorithm: sliding", 1000, (1000000000, "1h")),
    ("fixed", "algorithm: fixed", 10, (1000000000, "1h")),
)
# Of a limit that is not to be reached, this much is in use.
FILL = 0.3
LOAD_KEYS, CONNECTIONS = 10000, 50
# What is asked, requests at once, requests in a round.
LOADS = (("allowed", 1, 50000), ("allowed", 16, 200000), ("denied", 16, 200000))
SECONDS = 3 if support.QUICK else 10
DEADLINE_MS = 20


class Asker(support.Process):
    """A program of bench/peers that answers a line with a line."""

    def __init__(self, name, *words):
        super().__init__(*words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=support.PEERS)
        self.name = name
        if self.process.stdout.readline() != "ready\n":
            raise RuntimeError(f"{name} did not start")

    def ask(self, *words):
        self.process.stdin.write(" ".join(map(str, words)) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline().split()
        if not answer:
            raise RuntimeError(f"{self.name} ended by itself")
        return [float(word) for word in answer]

    def __exit__(self, *_):
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            self.process.stdin.close()
            self.process.wait(10)
        super().__exit__()


def limits(name, folder, rules, keys, head="memory: 1MiB\nloops: 1\nworkers: 1\n"):
    file = folder / f"{name.replace(' ', '-')}.yaml"
    file.write_text(head + "limits:\n" + "".join(f"  {rule}: {{{text}}}\n" for rule, text in rules.items()))
    return Asker(name, support.LIMITS, file, keys)


# ---- in process

class Side:
    """One algorithm, or the peer, and what was measured of it."""

    def __init__(self, folder, name, text, small, large, keys):
        self.name, self.own = name, True
        common = f"{text}, keys_max: {2 * keys}"
        rules = {"shut": f"{common}, limit: {small}, window: 365d"}
        if large is not None:
            limit, window = large
        else:
            with limits("calibration", folder, rules, keys) as one:
                one.ask("fill", "shut", small)
                cycle_ns = min(one.ask("check", "shut", 1, keys)[1] for _ in range(5)) * keys
            limit, window = small, f"{max(1, round(small * FILL * cycle_ns / 1e6))}ms"
        rules["open"] = f"{common}, limit: {limit}, window: {window}"
        self.asker = limits(name, folder, rules, keys)
        self.bytes_each = self.asker.ask("fill", "shut", small)[0]
        self.asker.ask("fill", "open", 1)
        self.begin()

    def begin(self):
        self.figures = {asked: [] for asked in ASKED}

    def measure(self, asked):
        rule, threads = asked.split()
        if not self.own:
            return self.asker.ask("check", rule, PEER_CALLS) if threads == "1" else None
        return self.asker.ask("check", rule, threads, CALLS)


class PeerSide(Side):
    def __init__(self, keys):
        self.name, self.own = "rate-limiter-flexible", False
        self.asker = Asker(self.name, "node", "--expose-gc", support.PEERS / "limiter.mjs", keys)
        self.bytes_each = self.asker.ask("fill", "shut", 10)[0]
        self.asker.ask("fill", "open", 1)
        self.begin()


def has_peer():
    if find("node") is None:
        skip("rate-limiter-flexible", "no Node.js")
        return False
    if not support.npm_has("rate-limiter-flexible"):
        skip("rate-limiter-flexible", "it is not installed in bench/peers")
        return False
    return True


def in_process(folder, keys):
    """The figures of rate-limiter-flexible, if it is there."""
    sides = []
    try:
        for algorithm in ALGORITHMS:
            sides.append(Side(folder, *algorithm, keys))
        if has_peer():
            sides.append(PeerSide(keys))
        for number in range(ROUNDS + 1):
            for asked in ASKED:
                for side in sides:
                    sample = side.measure(asked)
                    if number > 0 and sample:
                        side.figures[asked].append(sample)
    finally:
        for side in sides:
            side.asker.__exit__()
    show_in_process(keys, sides)
    return sides[-1].figures if not sides[-1].own else None


def show_in_process(keys, sides):
    rows = []
    for side in sides:
        row = [side.name]
        for asked in ASKED:
            figures = side.figures[asked]
            row.append(f"{median(one[0] for one in figures):.0f}" if figures else "-")
        peer = sides[-1].figures["open 1"] if not sides[-1].own else None
        own = side.figures["open 1"]
        row.append(f"{median(a[0] / b[0] for a, b in zip(own, peer)):.3f}x" if peer else "-")
        row.append(f"{100 * median(one[2] for one in own):.1f}")
        rows.append([*row, f"{side.bytes_each:.1f}"])
    say(f"\nIn process, {keys} keys: CPU ns a check")
    support.table(["", *(WORDS[asked] for asked in ASKED), "allowed: of the peer's", "% allowed", "bytes a key"], rows)


# ---- the daemon

def start_forebay(folder):
    config = folder / "forebay.yaml"
    config.write_text(f"""
listen: {{resp: 'unix:{folder / 'forebay.sock'}', http: off}}
limits:
  allowed: {{algorithm: token, limit: 1000000, window: 1s}}
  denied: {{algorithm: token, limit: 1, window: 365d}}
""")
    return support.Server("forebay", folder, support.PROGRAM, "serve", "-c", config)


def commands(sha):
    """Name of each, whether it is the peer, and its words for what is allowed and what is denied."""
    yield "FB.LIMIT", False, {"allowed": "FB.LIMIT allowed %k", "denied": "FB.LIMIT denied %k"}
    yield "CL.THROTTLE", False, {"allowed": "CL.THROTTLE %k 999999 1000000 1",
                                 "denied": "CL.THROTTLE %k 0 1 31536000"}
    if sha:
        yield "GCRA by EVALSHA, redis-server", True, {"allowed": f"EVALSHA {sha} 1 %k 1000000 1 1",
                                                      "denied": f"EVALSHA {sha} 1 %k 1 31536000000000 1"}


def load(server, words, depth, requests):
    """CPU µs of the server a request."""
    before = support.cpu_ns(server.pid)
    done = subprocess.run([support.LOAD, "resp", server.socket, words, str(CONNECTIONS), str(depth), str(LOAD_KEYS),
                           str(requests)], capture_output=True, text=True, check=True, timeout=support.PATIENCE)
    used = support.cpu_ns(server.pid) - before
    count, _, _, errors = map(int, done.stdout.split())
    if errors or count != requests:
        raise RuntimeError(f"{server.name}: {words}: {errors} errors, {count} of {requests}")
    return used / count / 1000


def daemon(folder, peer):
    with contextlib.ExitStack() as stack:
        own = stack.enter_context(start_forebay(folder))
        redis = support.start_redis(folder)
        sha = None
        if redis is None:
            skip("redis-server", "it is not installed")
        else:
            stack.enter_context(redis)
            sha = script_sha(redis)
        sides = list(commands(sha))
        figures = {(name, case): [] for name, _, _ in sides for case in LOADS}
        for number in range(ROUNDS + 1):
            for case in LOADS:
                for name, is_peer, words in sides:
                    used = load(redis if is_peer else own, words[case[0]], *case[1:])
                    if number > 0:
                        figures[name, case].append(used)
    rows = []
    for name, _, _ in sides:
        row = [name]
        for case in LOADS:
            row.append(f"{median(figures[name, case]):.2f}")
            others = figures[sides[-1][0], case]
            row.append(f"{median(a / b for a, b in zip(figures[name, case], others)):.2f}x" if sha else "-")
        rows.append(row)
    say(f"\nThe daemon, {LOAD_KEYS} keys, {CONNECTIONS} connections: CPU µs of the server a check")
    head = [word for answer, depth, _ in LOADS for word in (f"{answer}, depth {depth}", "of GCRA")]
    support.table(["", *head], rows)
    if peer:
        in_node = median(one[0] for one in peer["open 1"]) / 1000
        share = median(figures["FB.LIMIT", LOADS[1]]) / in_node
        say(f"rate-limiter-flexible in memory, in the process itself: {in_node:.2f} µs; FB.LIMIT at depth 16 "
            f"is {share:.2f}x of it")


def script_sha(server):
    import redis
    with redis.Redis(unix_socket_path=server.socket) as client:
        return client.script_load((support.PEERS / "gcra.lua").read_text())


# ---- over Redis

def troubles(server):
    """Name, and what is done while answers are timed."""
    def kill():
        time.sleep(0.3 * SECONDS)
        server.kill()
        time.sleep(0.3 * SECONDS)
        server.start()

    def stop():
        time.sleep(0.3 * SECONDS)
        server.hang()
        time.sleep(0.3 * SECONDS)
        server.go_on()

    def flush():
        end = time.monotonic() + 0.8 * SECONDS
        with server.client() as client:
            while time.monotonic() < end:
                client.script_flush()
                client.flushall()
                time.sleep(0.05)
    yield "all is well", lambda: None
    yield "killed by -9, away, back empty", kill
    yield "stopped (SIGSTOP), and on", stop
    yield "scripts and data flushed, 20 times a second", flush


def over_redis(folder):
    if not shared.HAS_REDIS:
        skip("over Redis", "no redis-server here")
        return
    rows = []
    with shared.Stage() as stage:
        server = stage.redis()
        head = f"loops: 1\nworkers: 1\nredis: {{url: 'unix://{server.path}', namespace: bench}}\n"
        rules = {"api": f"algorithm: token, limit: 1000000000, window: 1h, timeout: {DEADLINE_MS}ms",
                 "window": f"algorithm: sliding, limit: 1000000, window: 1h, timeout: {DEADLINE_MS}ms"}
        with limits("over Redis", folder, rules, LOAD_KEYS, head) as asker:
            for rule in rules:
                connected = time.monotonic() + support.PATIENCE
                while asker.ask("wait", rule, 200)[4] > 0 and time.monotonic() < connected:
                    pass
            for name, work in troubles(server):
                thread = threading.Thread(target=work, daemon=True)
                thread.start()
                answer = asker.ask("wait", "window" if not rows else "api", SECONDS * 1000)
                thread.join()
                rows.append((name, f"{answer[0]:.0f}", *(f"{us / 1000:.3f}" for us in answer[1:4]),
                             f"{100 * answer[4] / answer[0]:.1f}", f"{answer[5]:.0f}"))
                while asker.ask("wait", "api", 200)[4] > 0:
                    pass
    say(f"\nOver Redis, one check after another for {SECONDS} s; the rule's timeout is {DEADLINE_MS} ms")
    support.table(["", "answers", "p50 ms", "p99 ms", "most ms", "% degraded", "errors"], rows)


def main():
    say(f"bench_limits: medians of {ROUNDS} interleaved rounds; {support.machine()}")
    with support.folder() as path:
        folder = pathlib.Path(path)
        peers = [in_process(folder, keys) for keys in SIZES]
        daemon(folder, peers[0])
        over_redis(folder)


main()
