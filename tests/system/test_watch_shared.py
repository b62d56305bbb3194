#!/usr/bin/python3
"""WATCH … EXEC on several nodes over one Redis, by unmodified clients: all of it or nothing, and only if
nothing that it rests on was changed meanwhile, by whatever way, on whatever node.

The random test lets each EXEC write its own name over names that it has read: so it is known which
followed on which, and that the chain of each key has no branches. SEED in the environment repeats a
run's choices.
"""

import collections
import json
import os
import pathlib
import random
import shutil
import subprocess
import tempfile
import threading
import time
import unittest

import redis

from forebay import PATIENCE, ROOT, Replies, TestCase, clean_environment, command, main
from shared import HAS_REDIS, Stage, until
from test_clients import ioredis_folder
from test_near_caches import NearCache

SEED = int(os.environ.get("SEED", random.SystemRandom().randrange(1 << 32)))
# No request is given up, and no node counts as behind, because the machine is busy.
PATIENT = ("--set", "redis.hard_timeout=20s", "--set", "redis.connect_timeout=20s")
MAX_LAG_MS = 60_000
MORE = """
  note: {key: "note:{id}", ttl: 1h, tags: ["about:{id}"], namespace: notes}
"""
CROSSSLOT = "CROSSSLOT Keys in request don't hash to the same slot"


class Line:
    """A connection, and its replies."""

    def __init__(self, test, server):
        self.socket = server.socket() if hasattr(server, "socket") else \
            __import__("socket").create_connection(("127.0.0.1", server.port), PATIENCE)
        self.replies = Replies(self.socket)
        test.addCleanup(self.close)

    def close(self):
        self.replies.file.close()
        self.socket.close()

    def send(self, *commands):
        self.socket.sendall(b"".join(command(*words) for words in commands))

    def say(self, *commands):
        """All in one piece; their replies, errors as text."""
        self.send(*commands)
        return [as_text(self.replies.next()) for _ in commands]

    def ask(self, *words):
        return self.say(words)[0]

    def execute(self, *commands):
        """MULTI … EXEC: what EXEC says."""
        said = self.say(("MULTI",), *commands, ("EXEC",))
        assert said[0] == b"OK" and set(said[1:-1]) <= {b"QUEUED"}, said
        return said[-1]


def as_text(reply):
    if isinstance(reply, list):
        return [as_text(one) for one in reply]
    return str(reply) if isinstance(reply, Exception) else reply


def at_once(works):
    """Runs them all at the same time: what they returned."""
    results = [None] * len(works)

    def run(index):
        try:
            results[index] = works[index]()
        except BaseException as error:  # pylint: disable=broad-except
            results[index] = error

    threads = [threading.Thread(target=run, args=(index,)) for index in range(len(works))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return results


class Nodes(TestCase):
    """Three nodes over one Redis, for all tests of a class."""

    @classmethod
    def setUpClass(cls):
        print(f"SEED={SEED}", flush=True)
        cls.stage = Stage().__enter__()
        cls.addClassCleanup(cls.stage.__exit__, None)
        cls.redis = cls.stage.redis()
        cls.nodes = cls.stage.nodes(cls.redis.url, arguments=PATIENT, max_lag=MAX_LAG_MS, more=MORE)

    def line(self, number=0):
        return Line(self, self.nodes[number])


@unittest.skipUnless(HAS_REDIS, "no redis-server here")
class Patterns(Nodes):
    """What people do with it, as the manuals of clients have it."""

    def client(self, number):
        made = self.nodes[number % 3].redis(socket_timeout=PATIENCE)
        self.addCleanup(made.close)
        return made

    def test_counters_are_exact(self):
        workers, turns = 6, 15

        def count(client):
            def add(pipe):
                number = int(pipe.get("counter") or 0)
                pipe.multi()
                pipe.set("counter", number + 1)
            for _ in range(turns):
                self.assertEqual(client.transaction(add, "counter"), [True])

        at_once([lambda number=number: count(self.client(number)) for number in range(workers)])
        self.assertEqual(self.redis_value("counter"), str(workers * turns))

    def redis_value(self, key):
        """What a node says that has asked the shared tier just now."""
        with self.nodes[0].redis() as client, client.pipeline() as pipe:
            pipe.watch(key)
            pipe.multi()
            pipe.get(key)
            return pipe.execute()[0]

    def test_transfers_conserve_the_total(self):
        accounts = [f"account:{number}" for number in range(6)]
        self.client(0).mset({name: 100 for name in accounts})
        done = threading.Event()

        def move(client, rng):
            for _ in range(20):
                payer, payee, third = rng.sample(accounts, 3)
                amount = rng.randrange(1, 30)

                def transfer(pipe, payer=payer, payee=payee, third=third, amount=amount):
                    balance = int(pipe.get(payer))
                    pipe.multi()
                    if balance >= amount:
                        pipe.decrby(payer, amount)
                        pipe.incrby(payee, amount - amount // 3)
                        pipe.incrby(third, amount // 3)
                client.transaction(transfer, payer)

        def read(client):
            wholes = 0
            while not done.is_set() or wholes == 0:
                with client.pipeline() as pipe:
                    pipe.watch(*accounts)
                    pipe.multi()
                    pipe.mget(accounts)
                    for name in accounts:
                        pipe.get(name)
                    try:
                        said = pipe.execute()
                    except redis.WatchError:
                        continue
                self.assertEqual(said[0], said[1:])
                self.assertEqual(sum(map(int, said[0])), 600, said)
                self.assertGreaterEqual(min(map(int, said[0])), 0)
                wholes += 1

        readers = [threading.Thread(target=read, args=(self.client(number),)) for number in range(2)]
        results = []
        def catch(work):
            try:
                work()
            except BaseException as error:  # pylint: disable=broad-except
                results.append(error)
        readers = [threading.Thread(target=catch, args=(lambda number=number: read(self.client(number)),))
                   for number in range(2)]
        for one in readers:
            one.start()
        try:
            at_once([lambda number=number: move(self.client(number), random.Random(f"{SEED} bank {number}"))
                     for number in range(5)])
        finally:
            done.set()
            for one in readers:
                one.join()
        self.assertEqual(results, [])
        self.assertEqual(sum(int(self.redis_value(name)) for name in accounts), 600)

    def test_each_item_of_a_queue_in_one_key_is_taken_once(self):
        items, taken, lock = 40, [], threading.Lock()

        def swap(client, key, change):
            """Check and set, by hand: what `change` returned beside the new list."""
            while True:
                with client.pipeline() as pipe:
                    pipe.watch(key)
                    now, result = change(json.loads(pipe.get(key) or "[]"))
                    pipe.multi()
                    pipe.set(key, json.dumps(now))
                    try:
                        pipe.execute()
                        return result
                    except redis.WatchError:
                        pass

        def produce(client, first):
            for item in range(first, items, 2):
                swap(client, "list", lambda have, item=item: (have + [item], None))

        def consume(client):
            while True:
                item = swap(client, "list", lambda have: (have[1:], have[:1]))
                with lock:
                    taken.extend(item)
                    if len(taken) == items:
                        return
                if not item:
                    time.sleep(0.005)

        at_once([lambda: produce(self.client(0), 0), lambda: produce(self.client(1), 1),
                 lambda: consume(self.client(1)), lambda: consume(self.client(2))])
        self.assertEqual(sorted(taken), list(range(items)))

    @unittest.skipUnless(shutil.which("node") and shutil.which("npm"), "no Node.js with npm")
    def test_with_ioredis(self):
        with tempfile.TemporaryDirectory() as folder:
            modules = ioredis_folder(folder)
            if modules is None:
                self.skipTest("ioredis is not in bench/peers, and npm cannot get it here")
            done = subprocess.run(["node", ROOT / "tests/system/ioredis_watch.js",
                                   *(str(node.resp_port) for node in self.nodes)], capture_output=True,
                                  text=True, timeout=PATIENCE,
                                  env=clean_environment() | {"NODE_PATH": str(modules)})
        self.assertEqual((done.returncode, done.stdout), (0, "fine\n"), done.stderr)


@unittest.skipUnless(HAS_REDIS, "no redis-server here")
class Conflicts(Nodes):
    """What keeps EXEC from doing anything, and what does not."""

    # (what is done first, the change); `K` is the key that is watched
    CHANGES = [
        ([("SET", "K", "1")], ("SET", "K", "2")),
        ([("SET", "K", "1")], ("SET", "K", "1")),
        ([], ("SET", "K", "1")),
        ([("SET", "K", "1")], ("DEL", "K")),
        ([("SET", "K", "1")], ("GETDEL", "K")),
        ([("SET", "K", "1")], ("EXPIRE", "K", "1000")),
        ([("SET", "K", "1")], ("PEXPIREAT", "K", "1")),
        ([("SET", "K", "1", "EX", "1000")], ("PERSIST", "K")),
        ([("SET", "K", "1", "EX", "1000")], ("GETEX", "K", "EX", "2000")),
        ([("SET", "K", "1")], ("INCR", "K")),
        ([], ("INCR", "K")),
        ([("SET", "K", "1")], ("APPEND", "K", "1")),
        ([("SET", "K", "1")], ("SETRANGE", "K", "1", "x")),
        ([("SET", "K", "1")], ("SETBIT", "K", "1", "0")),
        ([("SET", "K", "1")], ("INCRBYFLOAT", "K", "0.5")),
        ([], ("MSETNX", "K", "1")),
        ([("SET", "K", "1")], ("MSET", "K", "1")),
        ([("SET", "{K}other", "1")], ("RENAME", "{K}other", "K")),
        ([("SET", "{K}other", "1")], ("COPY", "{K}other", "K", "REPLACE")),
        ([("SET", "K", "1")], ("RENAME", "K", "{K}away")),
        ([("SET", "K", "1")], ("FB.INVALIDATE", "KEY", "K")),
        ([("FB.SET", "K", "TAGS", "hot,cold", "1")], ("FB.INVALIDATE", "WAIT", "NODES", "TAG", "cold")),
        ([("SET", "note:K", "1")], ("FB.INVALIDATE", "WAIT", "NODES", "TAG", "about:K")),
        ([("SET", "note:K", "1")], ("FB.INVALIDATE", "WAIT", "NODES", "CLASS", "note")),
        ([("SET", "note:K", "1")], ("FB.INVALIDATE", "WAIT", "NODES", "NAMESPACE", "notes")),
        ([("SET", "K", "1")], ("FB.INVALIDATE", "WAIT", "NODES", "PATTERN", "K*")),
        ([("SET", "K", "1")], ("FB.INVALIDATE", "WAIT", "NODES", "ALL")),
        ([("SET", "K", "1")], ("FLUSHALL",)),
    ]
    HARMLESS = [
        ("GET", "K"), ("MGET", "K", "K"), ("STRLEN", "K"), ("TTL", "K"), ("EXISTS", "K"), ("TYPE", "K"),
        ("GETRANGE", "K", "0", "1"), ("TOUCH", "K"), ("GETEX", "K"), ("FB.GET", "K"), ("FB.EXPLAIN", "K"),
        ("SET", "K", "x", "NX"), ("SETNX", "K", "x"), ("MSETNX", "K", "x", "K2", "y"),
        ("EXPIRE", "K", "1", "LT"), ("RENAMENX", "K", "K"), ("COPY", "K", "{K}copy"), ("SET", "K2", "x"),
        ("DEL", "K2"), ("FB.INVALIDATE", "WAIT", "NODES", "TAG", "unused"),
        ("FB.INVALIDATE", "WAIT", "NODES", "CLASS", "counted"),
    ]

    def named(self, words, number):
        """`K` becomes a key of its own."""
        return [word.replace("K", f"k{number}") if "K" in word and word not in ("KEY", "RANK")
                and word not in WORDS else word for word in words]

    def watched_key(self, before, number):
        return "note:" + f"k{number}" if any("note:" in str(word) for words in before for word in words) \
            else f"k{number}"

    def check_conflicts(self, change_node):
        mine, theirs = self.line(0), self.line(change_node)
        for number, (before, change) in enumerate(self.CHANGES):
            number = f"{change_node}-{number}"
            key, witness = self.watched_key(before, number), f"witness:{number}"
            for words in before:
                self.assertIn(mine.ask(*self.named(words, number)), (b"OK", 1), words)
            self.assertEqual(mine.ask("WATCH", key), b"OK")
            seen = mine.ask("GET", key)
            self.assertEqual(seen is None, not before or "other" in before[0][1], change)
            said = theirs.ask(*self.named(change, number))
            self.assertFalse(isinstance(said, str), (change, said))
            self.assertIsNone(mine.execute(("SET", witness, "done"), ("SET", key, "mine")), change)
            self.assertIsNone(mine.ask("GET", witness), change)
            self.assertNotEqual(mine.ask("GET", key), b"mine", change)
            # And nothing is watched any more.
            self.assertEqual(mine.execute(("SET", witness, "later")), [b"OK"])

    def test_a_change_on_the_same_node_is_one(self):
        self.check_conflicts(0)

    def test_a_change_on_another_node_is_one(self):
        self.check_conflicts(1)

    def test_what_changes_nothing_of_it_is_none(self):
        mine = self.line(0)
        for place in (0, 1):
            theirs = self.line(place)
            for number, words in enumerate(self.HARMLESS):
                number = f"fine-{place}-{number}"
                key = f"k{number}"
                self.assertEqual(mine.ask("SET", key, "1", "EX", "1000" if "LT" not in words else "1"), b"OK")
                if "LT" in words:
                    mine.ask("PERSIST", key)
                    words = ("EXPIRE", "K", "1", "XX")
                self.assertEqual(mine.ask("WATCH", key, key), b"OK")
                said = theirs.ask(*self.named(words, number))
                self.assertFalse(isinstance(said, str) and "rror" in said, (words, said))
                self.assertEqual(mine.execute(("APPEND", key, "2"), ("GET", key)), [2, b"12"], words)

    def test_a_change_by_http_is_one(self):
        mine = self.line(0)
        for node in (self.nodes[0], self.nodes[1]):
            for method, path, body in [("PUT", "/v1/keys/web", b"2"), ("DELETE", "/v1/keys/web", None),
                                       ("POST", "/v1/keys/incr", b'{"key": "web"}'),
                                       ("POST", "/v1/keys/expire", b'{"key": "web", "ttl": "5m"}'),
                                       ("POST", "/v1/invalidate", b'{"keys": ["web"]}'),
                                       ("POST", "/v1/invalidate", b'{"all": true, "wait": "nodes"}')]:
                self.assertEqual(mine.say(("SET", "web", "1"), ("WATCH", "web"), ("GET", "web")),
                                 [b"OK", b"OK", b"1"])
                status, _, said = node.http(method, path, body)
                self.assertLess(status, 300, (path, said))
                self.assertIsNone(mine.execute(("SET", "web", "mine")), (method, path))
                self.assertEqual(mine.say(("WATCH", "web"), ("GET", "web"), ("UNWATCH",))[0], b"OK")

    def test_the_end_of_a_lifetime_is_one(self):
        for number in (0, 1):
            mine = self.line(number)
            self.assertEqual(self.line(0).ask("SET", "short", "1", "PX", "300"), b"OK")
            self.assertEqual(mine.ask("WATCH", "short"), b"OK")
            time.sleep(0.5)
            self.assertIsNone(mine.execute(("SET", "short", "mine")))
            self.assertIsNone(self.line(2).ask("GET", "short"))

    def test_a_change_after_the_look_and_before_the_commit_is_one(self):
        """Two who go at the same time: one gets through in each round, and who does not has done nothing."""
        lines = [self.line(number) for number in (0, 1, 2, 0)]
        for turn in range(25):
            key = f"race:{turn}"
            for one in lines:
                self.assertEqual(one.say(("WATCH", key), ("MULTI",), ("SET", key, "x"), ("INCR", key + ":done")),
                                 [b"OK", b"OK", b"QUEUED", b"QUEUED"])
            said = at_once([lambda one=one: one.ask("EXEC") for one in lines])
            self.assertEqual(sorted(said, key=repr), [None] * 3 + [[b"OK", 1]], said) \
                if said.count(None) == 3 else self.fail(f"{said}")

    def test_a_key_that_is_read_inside_is_as_it_was_read(self):
        """It is not watched: so nobody is refused, and no change is lost either."""
        def add(line):
            for _ in range(15):
                said = line.say(("WATCH", "unrelated"), ("MULTI",), ("INCR", "sum"), ("APPEND", "marks", "x"),
                                ("EXEC",))[-1]
                self.assertIsInstance(said, list, said)
                self.assertEqual(said[0], said[1])
        at_once([lambda line=self.line(number): add(line) for number in (0, 1, 2)])
        self.assertEqual(self.line(1).say(("WATCH", "x"), ("MULTI",), ("GET", "sum"), ("STRLEN", "marks"),
                                          ("EXEC",))[-1], [b"45", 45])


WORDS = {"KEY", "WAIT", "NODES", "TAG", "CLASS", "NAMESPACE", "PATTERN", "ALL", "TAGS", "EX", "REPLACE", "PX",
         "RANK", "STRICT", "SETRANGE"}


if __name__ == "__main__":
    main()
