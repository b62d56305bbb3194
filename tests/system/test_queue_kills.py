#!/usr/bin/python3
"""What was accepted is never lost, and nothing is finished twice, while the daemon (and Redis) are killed by
-9 again and again under load. On the journal, and over Redis with a log that is flushed at every write.

`--kills 2000` is the whole proof; a test run has some dozens. `--seed` repeats the choices of what is done,
not the moments.
"""

import argparse
import collections
import pathlib
import random
import shutil
import socket
import sys
import tempfile
import threading
import unittest

import redis

from forebay import Server, TestCase
from shared import HAS_REDIS, Stage, free_port, until

OPTIONS = argparse.Namespace(kills=12, seed=1)
ATTEMPTS = 4
QUEUE = f"""
queue: {{file: queue.db}}
queues:
  work: {{attempts: {ATTEMPTS}, lease: 1s, retry_delay: 10ms, retry_max: 50ms, dead_keep: 1d, dead_max: 1000000}}
"""
AOF = "appendonly yes\nappendfsync always\nmaxmemory-policy noeviction\n"


class Ledger:
    """All that clients were told."""

    def __init__(self):
        self.lock = threading.Lock()
        self.accepted = {}                              # id: payload
        self.claims = collections.defaultdict(list)     # id: [attempt, …]
        self.tokens = collections.defaultdict(set)
        self.finished = collections.Counter()           # id: how often an ack was answered with success
        self.perhaps = set()                            # ids of acks without an answer
        self.strange = []                               # what should never be answered


class Crew:
    """Producers and workers, which go on whatever becomes of the server."""

    def __init__(self, ports, seed):
        self.ports = ports
        self.ledger = Ledger()
        self.producing, self.working = threading.Event(), threading.Event()
        self.producing.set(), self.working.set()
        self.seed = seed

    def start(self, producers=3, workers=3):
        self.producers = [self.run(self.produce, number) for number in range(producers)]
        self.workers = [self.run(self.work, number) for number in range(workers)]

    def run(self, what, number):
        thread = threading.Thread(target=self.guard, args=(what, number), daemon=True)
        thread.start()
        return thread

    def guard(self, what, number):
        try:
            what(number, random.Random(f"{self.seed} {what.__name__} {number}"))
        except Exception as error:  # pylint: disable=broad-exception-caught
            self.ledger.strange.append(repr(error))

    def client(self, number):
        return redis.Redis(port=self.ports[number % len(self.ports)], decode_responses=True, socket_timeout=30,
                           socket_connect_timeout=30)

    def expected(self, error):
        """An answer while a server is killed: the connection broke, or the store did not answer."""
        return not isinstance(error, redis.ResponseError) or any(
            word in str(error) for word in ("is away", "did not answer", "no answer", "timed out", "perhaps",
                                            "connection", "shutting down", "LOADING"))

    def produce(self, number, rng):
        client = self.client(number)
        serial = 0
        while self.producing.is_set():
            serial += 1
            payload = f"{number}-{serial}"
            extra = ["PRI", rng.randrange(10)] if rng.random() < 0.5 else []
            extra += ["DELAY", rng.randrange(1, 50)] if rng.random() < 0.2 else []
            try:
                if rng.random() < 0.2:
                    names = [f"{payload}-{i}" for i in range(10)]
                    ids = client.execute_command("FB.MENQUEUE", "work", *extra, "PAYLOADS", *names)
                else:
                    names = [payload]
                    ids = [client.execute_command("FB.ENQUEUE", "work", payload, *extra)]
            except (redis.RedisError, OSError) as error:
                if not self.expected(error):
                    self.ledger.strange.append(repr(error))
                continue
            with self.ledger.lock:
                self.ledger.accepted.update(zip(ids, names))

    def work(self, number, rng):
        client = self.client(number)
        while self.working.is_set():
            try:
                jobs = client.execute_command("FB.RESERVE", "work", "COUNT", rng.randrange(1, 8), "BLOCK", 200)
            except (redis.RedisError, OSError) as error:
                if not self.expected(error):
                    self.ledger.strange.append(repr(error))
                continue
            with self.ledger.lock:
                for identity, token, attempt, _, payload in jobs:
                    self.ledger.claims[identity].append(int(attempt))
                    self.ledger.tokens[identity].add(token)
                    known = self.ledger.accepted.get(identity)
                    if known is not None and known != payload:
                        self.ledger.strange.append(f"{identity} has payload {payload}, not {known}")
            for job in jobs:
                self.do(client, rng, *job[:2])

    def do(self, client, rng, identity, token):
        choice = rng.random()
        try:
            if choice < 0.8:
                results = client.execute_command("FB.ACK", "work", identity, token)
                done = results in (1, [1], ["OK"], [True])
                with self.ledger.lock:
                    self.ledger.finished[identity] += done
            elif choice < 0.95:
                client.execute_command("FB.FAIL", "work", identity, token, "ERROR", "by choice")
        except (redis.RedisError, OSError) as error:
            if choice < 0.8 and not str(error).startswith("LEASELOST"):
                with self.ledger.lock:
                    self.ledger.perhaps.add(identity)
            if not self.expected(error) and not str(error).startswith("LEASELOST"):
                self.ledger.strange.append(repr(error))

    def join(self, threads):
        for thread in threads:
            thread.join(120)
            if thread.is_alive():
                self.ledger.strange.append(f"{thread} does not end")


class Kills(TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="forebay-test."))
        self.addCleanup(shutil.rmtree, self.folder, True)

    def settle(self, crew, server):
        """Nobody accepts any more; the workers finish what is left."""
        crew.producing.clear()
        crew.join(crew.producers)  # what one of them has under way may be accepted yet

        def empty():
            # All three of one moment: a job goes from one to the other.
            with server.redis() as client:
                flat = client.execute_command("FB.QUEUE", "work")
            look = dict(zip(flat[::2], flat[1::2]))
            return not any(look[state] for state in ("ready", "scheduled", "leased"))
        until(empty, "an empty queue")
        crew.working.clear()
        crew.join(crew.workers)

    def dead(self, server):
        """Their ids and attempts."""
        found, after = {}, 0
        with server.redis() as client:
            while True:
                jobs = client.execute_command("FB.QUEUE", "work", "LIST", "dead", "AFTER", after, "COUNT", 500)
                if not jobs:
                    return found
                for job in jobs:
                    row = job if isinstance(job, dict) else dict(zip(job[::2], job[1::2]))
                    found[row["id"]] = row
                    after = int(row["id"].rsplit(".", 1)[1])

    def judge(self, crew, server):
        ledger, dead = crew.ledger, self.dead(server)
        self.assertEqual(set(ledger.strange), set())
        self.assertGreater(len(ledger.accepted), 50)
        for identity in ledger.accepted:
            known = (ledger.finished[identity], identity in ledger.perhaps, identity in dead)
            self.assertTrue(any(known), f"{identity} is lost")
        for identity, times in ledger.finished.items():
            self.assertLessEqual(times, 1, f"{identity} was finished {times} times")
            self.assertFalse(times and identity in dead, f"{identity} was finished, and is dead")
        for identity, attempts in ledger.claims.items():
            self.assertLessEqual(max(attempts), ATTEMPTS, identity)
            self.assertEqual(len(set(attempts)), len(attempts), f"{identity}: attempts {attempts}")
            self.assertEqual(len(ledger.tokens[identity]), len(attempts), identity)
        for identity, row in dead.items():
            self.assertEqual(int(row["attempt"]), ATTEMPTS, (identity, row))
        return f"{len(ledger.accepted)} accepted, {sum(ledger.finished.values())} finished, {len(dead)} dead"

    def rounds(self, kill, rng, crew):
        for _ in range(OPTIONS.kills):
            before = len(crew.ledger.accepted)
            # It does something between two kills, however slow the machine.
            until(lambda: len(crew.ledger.accepted) > before + rng.randrange(200), "jobs that are accepted")
            kill()

    def test_the_journal_survives_kills_of_the_daemon(self):
        rng = random.Random(OPTIONS.seed)
        ports = (free_port(), 0)
        server = Server(QUEUE, folder=self.folder, ports=ports).start()
        crew = Crew([ports[0]], OPTIONS.seed)

        def kill():
            server.process.kill()
            server.wait()
            server.start()
        try:
            crew.start()
            self.rounds(kill, rng, crew)
            self.settle(crew, server)
            print(f"{OPTIONS.kills} kills: {self.judge(crew, server)}", file=sys.stderr)
            self.assertEqual(server.stop(), 0)
        finally:
            crew.producing.clear(), crew.working.clear()
            server.remove()

    @unittest.skipUnless(HAS_REDIS, "no redis-server here")
    def test_a_queue_in_redis_survives_kills_of_daemons_and_of_redis(self):
        rng = random.Random(OPTIONS.seed)
        with Stage() as stage:
            store = stage.redis(lines=AOF)
            config = f"redis: {{url: '{store.url}', namespace: kills}}\n{QUEUE}"
            servers = []
            for name in ("one", "two"):
                folder = self.folder / name
                folder.mkdir()
                servers.append(Server(config, folder=folder, ports=(free_port(), 0)).start())
            crew = Crew([server.resp_port for server in servers], OPTIONS.seed)

            def kill():
                victim = rng.choice([store, *servers])
                if victim is store:
                    store.kill()
                    store.start()
                    return
                victim.process.kill()
                victim.wait()
                victim.start()
            try:
                crew.start()
                self.rounds(kill, rng, crew)
                self.settle(crew, servers[0])
                print(f"{OPTIONS.kills} kills: {self.judge(crew, servers[0])}", file=sys.stderr)
                for server in servers:
                    self.assertEqual(server.stop(), 0)
            finally:
                crew.producing.clear(), crew.working.clear()
                for server in servers:
                    server.remove()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=OPTIONS.kills)
    parser.add_argument("--seed", type=int, default=OPTIONS.seed)
    OPTIONS, rest = parser.parse_known_args()
    unittest.main(argv=[sys.argv[0], *rest], verbosity=1)
