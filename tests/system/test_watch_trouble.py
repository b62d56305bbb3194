#!/usr/bin/python3
"""WATCH … EXEC on several nodes: random transactions that must have an order, Redis that hangs, dies and
comes back empty in the middle, clients that go, a fail-over, a Cluster.

The random test lets each EXEC write its own name over names that it has read: so it is known which
followed on which, and that the chain of each key has no branches. SEED in the environment repeats a
run's choices; TURNS makes it longer.
"""

import collections
import graphlib
import os
import random
import threading
import time
import unittest

from forebay import PATIENCE, TestCase, main
from shared import HAS_REDIS, Stage, at_once, until
from watching import MAX_LAG_MS, PATIENT, SEED, Line, Nodes

CROSSSLOT = "CROSSSLOT Keys in request don't hash to the same slot"
CLIENTS, TURNS, KEYS = 9, int(os.environ.get("TURNS", "40")), 5


@unittest.skipUnless(HAS_REDIS, "no redis-server here")
class Histories(Nodes):
    """Each EXEC writes its own name into what it changes. What it found there, watched or read inside,
    is what the transaction before it wrote: so all must lie in one order."""

    def one_turn(self, line, rng, names, name):
        """(what was read, what was written), or None where EXEC did nothing."""
        watched = rng.sample(names, rng.randrange(1, 4))
        inside_read = rng.sample(names, rng.randrange(0, 3))
        written = rng.sample(names, rng.randrange(1, 4))
        outside = rng.random() < 0.5  # what is watched is read before MULTI, as most programs do
        before = line.say(("WATCH", *watched), *(("GET", key) for key in watched if outside))
        self.assertEqual(before[0], b"OK")
        found = dict(zip(watched, before[1:]))
        if rng.random() < 0.3:
            time.sleep(rng.random() * 0.01)
        reads = [("GET", key) for key in (inside_read if outside else watched + inside_read)]
        writes = [("SET", key, name) for key in written]
        for number, words in enumerate(writes):
            if rng.random() < 0.3:  # another way to the same
                writes[number] = ("GETSET", *words[1:])
        said = line.execute(*reads, *writes)
        if said is None:
            return None
        for (_, key), value in zip(reads, said):
            self.assertEqual(found.setdefault(key, value), value, "read twice in one transaction")
        for words, value in zip(writes, said[len(reads):]):
            if words[0] == "GETSET":
                self.assertEqual(found.setdefault(words[1], value), value)
        return found, written

    def check_history(self, history, names, last):
        """`history`: {name: (found, written)}. Each key's writers form a chain, and with who only read it
        there is an order of all: each after who wrote what it found, before who overwrote that."""
        followers = {name: set() for name in history}
        for key in names:
            next_of = collections.defaultdict(list)
            for name, (found, written) in history.items():
                if key in found and key in written:
                    next_of[found[key]].append(name)
            self.assertTrue(all(len(ones) == 1 for ones in next_of.values()), f"a lost update of {key}: {next_of}")
            for name, (found, written) in history.items():
                if key not in found:
                    continue
                if found[key] is not None:
                    writer = found[key].decode()
                    self.assertIn(writer, history, f"{key}: of nobody who was told that it is done")
                    self.assertIn(key, history[writer][1])
                    followers[writer].add(name)
                for after in next_of[found[key]]:
                    if after != name:
                        followers[name].add(after)
            if last[key] is not None:
                self.assertIn(last[key].decode(), history)
        order = graphlib.TopologicalSorter(followers)
        order.prepare()  # CycleError: no order explains what was read

    def run_clients(self, prefix, turns):
        names = [f"{prefix}:{number}" for number in range(KEYS)]
        refused = []

        def use(number):
            rng = random.Random(f"{SEED} {prefix} {number}")
            line, done = self.line(number % 3), {}
            for turn in range(turns):
                name = f"<{number}.{turn}>"
                outcome = self.one_turn(line, rng, names, name)
                if outcome is None:
                    refused.append(name)
                else:
                    done[name] = outcome
            return done

        history = {}
        for done in at_once([lambda number=number: use(number) for number in range(CLIENTS)]):
            history |= done
        reader = self.line()
        self.assertEqual(reader.ask("WATCH", *names), b"OK")
        last = dict(zip(names, reader.execute(("MGET", *names))[0]))
        self.check_history(history, names, last)
        self.assertGreater(len(history), turns)  # some get through
        self.assertTrue(refused)                 # and some meet

    def test_transactions_have_an_order(self):
        self.run_clients("history", TURNS)


@unittest.skipUnless(HAS_REDIS, "no redis-server here")
class Trouble(TestCase):
    """Redis is away in the middle: an error or nothing, never a half, and no wait without end."""

    def setUp(self):
        self.stage = Stage().__enter__()
        self.addCleanup(self.leave)

    def leave(self):
        for server in self.stage.servers:
            if server.process.poll() is None:
                server.go_on()
        self.stage.__exit__(None)

    def line(self, node):
        return Line(self, node)

    def pairs(self, node, number, done, counts):
        """Writes two keys the same, again and again, whatever is said; all that is read is whole."""
        line = self.line(node)
        turn = 0
        while not done.is_set():
            turn += 1
            name = f"<{number}.{turn}>"
            said = line.say(("WATCH", "{p}a", "{p}b"), ("MULTI",), ("GET", "{p}a"), ("GET", "{p}b"),
                            ("SET", "{p}a", name), ("SET", "{p}b", name), ("EXEC",))
            if isinstance(said[-1], list):
                self.assertEqual(said[-1][0], said[-1][1], "half of a transaction")
                counts["done"] += 1
            elif said[-1] is not None:
                self.assertRegex(said[-1], "^(IOERR|TIMEOUT|EXECABORT|OVERLOADED|BUSY|ERR)", said)
                counts["failed"] += 1
                time.sleep(0.01)

    def check_through(self, nodes, trouble, rounds):
        """Transactions on all nodes, meanwhile trouble(); all end in time, and work afterwards."""
        done, counts = threading.Event(), collections.Counter()

        def make_trouble():
            try:
                for _ in range(rounds):
                    before = counts["done"]
                    until(lambda: counts["done"] > before + 20, "transactions that work")
                    trouble()
                before = counts["done"]
                until(lambda: counts["done"] > before + 20, "transactions that work again")
            finally:
                done.set()

        at_once([make_trouble, *(lambda number=number: self.pairs(nodes[number % len(nodes)], number, done, counts)
                                 for number in range(2 * len(nodes)))])
        for node in nodes:
            node.wait_coherent()
        for node in nodes:
            with self.subTest(node.url):
                said = until(lambda node=node: self.whole(node), "a whole pair")
                self.assertEqual(said[0], said[1])
        return counts

    def whole(self, node):
        line = self.line(node)
        self.assertEqual(line.ask("WATCH", "{p}a"), b"OK")
        said = line.execute(("GET", "{p}a"), ("GET", "{p}b"))
        return said if isinstance(said, list) else None

    QUICK = ("--set", "redis.hard_timeout=1s", "--set", "redis.connect_timeout=20s")

    def test_redis_hangs(self):
        server = self.stage.redis()
        nodes = self.stage.nodes(server.url, 2, arguments=self.QUICK)

        def hang():
            server.hang()
            for node in nodes:
                node.wait_away()
            server.go_on()
        self.check_through(nodes, hang, 2)

    def test_redis_is_killed_and_comes_back_empty(self):
        server = self.stage.redis()
        nodes = self.stage.nodes(server.url, 2, arguments=self.QUICK)

        def kill():
            server.kill()
            for node in nodes:
                node.wait_away()
            server.start()
        counts = self.check_through(nodes, kill, 2)
        self.assertGreater(counts["failed"], 0)

    def test_redis_is_emptied(self):
        server = self.stage.redis()
        nodes = self.stage.nodes(server.url, 2, arguments=self.QUICK)
        self.check_through(nodes, lambda: server.ask("FLUSHALL"), 5)

    def test_while_it_is_away_nothing_is_done(self):
        server = self.stage.redis()
        node = self.stage.node(server.url, arguments=self.QUICK)
        one = self.line(node)
        self.assertEqual(one.say(("SET", "k", "1"), ("WATCH", "k"), ("MULTI",), ("SET", "k", "2")),
                         [b"OK", b"OK", b"OK", b"QUEUED"])
        server.kill()
        self.assertRegex(one.ask("EXEC"), "^(IOERR|TIMEOUT)")
        node.wait_away()
        self.assertRegex(one.ask("WATCH", "k"), "^IOERR")
        self.assertRegex(one.execute(("SET", "k", "3")), "^EXECABORT")
        self.assertEqual(one.execute(("SET", "alone", "1")), [b"OK"])
        self.assertNotIn(one.ask("GET", "k"), (b"2", b"3"))
        server.start()
        node.wait_coherent()
        self.assertEqual(one.say(("WATCH", "k"), ("MULTI",), ("SET", "k", "4"), ("EXEC",), ("GET", "k"))[-2:],
                         [[b"OK"], b"4"])

    def waiting(self, node, server, count):
        """Connections whose EXEC, or WATCH, waits for a server that hangs."""
        lines = [self.line(node) for _ in range(count)]
        for number, one in enumerate(lines):
            if number % 2:
                self.assertEqual(one.say(("WATCH", f"w:{number}"), ("MULTI",), ("GET", "x"), ("PING",),
                                         ("SET", f"w:{number}", "x"), ("MGET", "y", "z")), [b"OK"] * 2 + [b"QUEUED"] * 4)
        server.hang()
        for number, one in enumerate(lines):
            one.send(("EXEC",) if number % 2 else ("WATCH", "a", "b"))
        node.until(lambda: sum(row["cmd"] in ("exec", "watch") for row in self.clients(node)) == count, "them all")
        return lines

    def clients(self, node):
        with node.redis() as client:
            return client.execute_command("CLIENT LIST")

    def test_who_goes_while_it_waits(self):
        """By its own will, killed, and with more in the same write; then the node goes on."""
        server = self.stage.redis()
        node = self.stage.node(server.url, arguments=("--set", "redis.hard_timeout=20s"), max_lag=MAX_LAG_MS)
        lines = self.waiting(node, server, 12)
        for number, one in enumerate(lines):
            if number % 3 == 0:
                one.close()
            elif number % 3 == 1:
                one.send(("GET", "more"), ("WATCH", "x"), ("RESET",), ("QUIT",))
        boss = self.line(node)
        for row in self.clients(node):
            if row["cmd"] in ("exec", "watch"):
                boss.ask("CLIENT", "KILL", "ID", row["id"])
        server.go_on()
        node.until(lambda: not any(row["cmd"] in ("exec", "watch") for row in self.clients(node)), "none of them")
        self.assertEqual(boss.say(("WATCH", "k"), ("MULTI",), ("SET", "k", "1"), ("EXEC",))[-1], [b"OK"])

    def test_the_node_ends_while_they_wait(self):
        server = self.stage.redis()
        node = self.stage.node(server.url, arguments=("--set", "redis.hard_timeout=20s"), max_lag=MAX_LAG_MS)
        self.assertEqual(self.line(node).say(("WATCH", "idle"), ("MULTI",)), [b"OK", b"OK"])
        self.waiting(node, server, 8)
        self.assertEqual(node.stop(), 0)

    def test_a_fail_over(self):
        sentinels = self.stage.sentinels()
        nodes = self.stage.nodes(sentinels.url, 2, arguments=self.QUICK)
        self.check_through(nodes, lambda: sentinels.replace(sentinels.master()), 1)


@unittest.skipUnless(HAS_REDIS, "no redis-server here")
class Clusters(TestCase):
    @classmethod
    def setUpClass(cls):
        cls.stage = Stage().__enter__()
        cls.addClassCleanup(cls.stage.__exit__, None)
        cls.cluster = cls.stage.cluster(timeout_ms=20_000)
        cls.nodes = cls.stage.nodes(cls.cluster.url, 2, arguments=PATIENT, max_lag=MAX_LAG_MS)

    def test_keys_of_one_slot(self):
        a, b = (Line(self, node) for node in self.nodes)
        for number in range(20):
            one, two, loose = f"{{u{number}}}:one", f"{{u{number}}}:two", f"loose:{number}"
            self.assertEqual(a.say(("WATCH", loose), ("MULTI",), ("SET", loose, "1"), ("INCR", loose), ("EXEC",))[-1],
                             [b"OK", 2])
            self.assertEqual(a.ask("WATCH", one, two), b"OK")
            self.assertEqual(a.execute(("SET", one, "1"), ("SET", two, "2"), ("MGET", one, two)),
                             [b"OK", b"OK", [b"1", b"2"]])
            self.assertEqual(b.say(("WATCH", one, two), ("GET", one), ("GET", two)), [b"OK", b"1", b"2"])
            self.assertEqual(a.ask("SET", two, "3"), b"OK")
            self.assertIsNone(b.execute(("SET", one, "never")))
            self.assertEqual(a.say(("WATCH", one), ("MULTI",), ("RENAME", two, one), ("EXEC",), ("MGET", one, two))[3:],
                             [[b"OK"], [b"3", None]])

    def test_keys_of_several_slots_are_refused_and_nothing_is_done(self):
        a, b = (Line(self, node) for node in self.nodes)
        for number in range(10):
            names = [f"far:{number}:{part}" for part in "abcdef"]
            self.assertEqual(a.ask("WATCH", *names), b"OK")
            self.assertEqual(a.execute(*(("SET", name, "x") for name in names)), CROSSSLOT)
            self.assertEqual(a.ask("WATCH", names[0]), b"OK")
            self.assertEqual(a.execute(("SET", names[0], "x"), ("GET", names[1]), ("MGET", *names)), CROSSSLOT)
            for one in (a, b):
                self.assertEqual(one.ask("MGET", *names), [None] * 6)

    def test_counters_are_exact(self):
        def count(node):
            def add(pipe):
                number = int(pipe.get("{c}count") or 0)
                pipe.multi()
                pipe.set("{c}count", number + 1)
                pipe.append("{c}log", "x")
            with node.redis(socket_timeout=PATIENCE) as client:
                for _ in range(15):
                    client.transaction(add, "{c}count")
        at_once([lambda number=number: count(self.nodes[number % 2]) for number in range(4)])
        self.assertEqual(Line(self, self.nodes[0]).say(("WATCH", "{c}count"), ("MULTI",), ("GET", "{c}count"),
                                                       ("STRLEN", "{c}log"), ("EXEC",))[-1], [b"60", 60])


if __name__ == "__main__":
    main()
