#!/usr/bin/python3
"""Random changes of few keys by many clients of three nodes over one Redis, against an oracle.

What decides by what is there (GETSET, SET NX/XX/GET, SETNX, APPEND, INCR, GETDEL, SETRANGE, PERSIST,
EXPIRE NX) is decided by the shared tier, whichever node is asked: so the history of a key must have an
order in which each reply is what one server alone would have said. Reads from a node's memory may be a
moment older and are no part of it. SEED in the environment repeats a run's choices.
"""

import os
import random
import time
import unittest

from forebay import Replies, TestCase, command, main
from shared import HAS_REDIS, Stage, at_once

SEED = int(os.environ.get("SEED", random.SystemRandom().randrange(1 << 32)))
CLIENTS, TURNS, KEYS = 9, 60, 3
RACERS, ROUNDS = 9, 12


# ---- one server's word on one key: (state, words) -> (reply, state); a state is bytes or None

def applied(state, words):
    name, args = words[0], words[2:]
    if name == "SET":
        absent, present, get = "NX" in args, "XX" in args, "GET" in args
        done = not (absent and state is not None) and not (present and state is None)
        reply = state if get else (b"OK" if done else None)
        return reply, (args[0].encode() if done else state)
    if name == "SETNX":
        return (0, state) if state is not None else (1, args[0].encode())
    if name == "GETSET":
        return state, args[0].encode()
    if name == "GETDEL":
        return state, None
    if name == "APPEND":
        after = (state or b"") + args[0].encode()
        return len(after), after
    if name == "SETRANGE":
        offset, part = int(args[0]), args[1].encode()
        after = (state or b"").ljust(offset, b"\0")
        after = after[:offset] + part + after[offset + len(part):]
        return len(after), after
    assert name == "INCR", name
    if state is not None and not state.lstrip(b"-").isdigit():
        return "error", state
    after = b"%d" % (int(state or 0) + 1)
    return int(after), after


def has_order(history):
    """Whether the operations [(begun, ended, words, reply)] of one key can have been done one by one, each
    at some moment between its beginning and its end."""
    history = sorted(history)
    everything = (1 << len(history)) - 1
    seen, stack = set(), [(0, None)]
    while stack:
        done, state = stack.pop()
        if done == everything:
            return True
        if (done, state) in seen:
            continue
        seen.add((done, state))
        # What may come next began before the first of those left had ended.
        first_end = min(end for i, (_, end, _, _) in enumerate(history) if not done >> i & 1)
        for i, (begun, _, words, reply) in enumerate(history):
            if begun > first_end:
                break
            if not done >> i & 1:
                said, after = applied(state, words)
                if said == reply:
                    stack.append((done | 1 << i, after))
    return False


def random_words(rng, key, name):
    """`name` is unique, so that a value tells who wrote it."""
    return rng.choice([
        ("SET", key, name), ("SET", key, name, "NX"), ("SET", key, name, "XX"), ("SET", key, name, "GET"),
        ("SET", key, name, "NX", "GET"), ("SETNX", key, name), ("GETSET", key, name), ("GETDEL", key),
        ("GETDEL", key), ("APPEND", key, "+" + name), ("APPEND", key, "1"), ("SETRANGE", key, 2, "ab"),
        ("INCR", key), ("INCR", key),
    ])


class Client:
    """A connection of its own to a node."""

    def __init__(self, node):
        self.socket = node.socket()
        self.replies = Replies(self.socket)

    def ask(self, *words):
        self.socket.sendall(command(*words))
        return self.replies.next()

    def say(self, *commands):
        """All in one piece; their replies."""
        self.socket.sendall(b"".join(command(*words) for words in commands))
        return [self.replies.next() for _ in commands]


@unittest.skipUnless(HAS_REDIS, "no redis-server here")
class ThreeNodes(TestCase):

    @classmethod
    def setUpClass(cls):
        print(f"SEED={SEED}", flush=True)
        cls.stage = Stage().__enter__()
        cls.addClassCleanup(cls.stage.__exit__, None)
        cls.redis = cls.stage.redis()
        # What waits here waits for an answer: which of two came first nobody can say without one.
        cls.nodes = cls.stage.nodes(cls.redis.url, arguments=("--set", "redis.hard_timeout=20s",
                                                              "--set", "redis.connect_timeout=20s"))

    def clients(self, count):
        made = [Client(self.nodes[number % 3]) for number in range(count)]
        for one in made:
            self.addCleanup(one.socket.close)
        return made

    def check_histories(self, prefix):
        histories = {f"{prefix}:{number}": [] for number in range(KEYS)}

        def use(client, number):
            rng = random.Random(f"{SEED} {prefix} {number}")
            mine = []
            for turn in range(TURNS):
                key = rng.choice(list(histories))
                words = random_words(rng, key, f"<{number}.{turn}>")
                begun = time.monotonic_ns()
                reply = client.ask(*words)
                ended = time.monotonic_ns()
                mine.append((begun, ended, words, "error" if isinstance(reply, Exception) else reply))
            return mine

        for mine in at_once([lambda client=client, number=number: use(client, number)
                             for number, client in enumerate(self.clients(CLIENTS))]):
            for one in mine:
                histories[one[2][1]].append(one)
        for key, history in histories.items():
            if not has_order(history):
                lines = "\n".join(f"{begun % 10**12} {ended % 10**12} {words} -> {reply!r}"
                                  for begun, ended, words, reply in sorted(history))
                self.fail(f"no order explains what was heard of {key}:\n{lines}")

    def test_each_key_has_one_history(self):
        self.check_histories("plain-history")

    def test_each_key_has_one_history_after_wide_invalidations(self):
        self.nodes[0].ask("FB.INVALIDATE", "WAIT", "REDIS", "TAG", "whatever")
        self.check_histories("wide-history")

    def test_keys_in_the_plain_layout_have_one_history(self):
        self.check_histories("plain")

    def race(self, prepare, words, wins):
        """In each round one of all racers wins, and no other."""
        racers = self.clients(RACERS)
        for turn in range(ROUNDS):
            key = f"race:{words[0]}:{'-'.join(map(str, words[1:]))}:{turn}"
            for step in prepare:
                self.assertNotIsInstance(racers[turn % 3].ask(step[0], key, *step[1:]), Exception)
            for racer in racers:
                racer.ask("GET", key)  # so that each memory has it
            said = at_once([lambda racer=racer: racer.ask(words[0], key, *words[1:]) for racer in racers])
            self.assertEqual(sum(wins(reply) for reply in said), 1, (words, said))

    def test_one_sets_if_absent(self):
        self.race([], ("SET", "mine", "NX"), lambda reply: reply == b"OK")
        self.race([], ("SETNX", "mine"), lambda reply: reply == 1)
        self.race([], ("SET", "mine", "NX", "GET"), lambda reply: reply is None)
        self.race([], ("MSETNX", "mine"), lambda reply: reply == 1)

    def test_one_gets_and_deletes(self):
        self.race([("SET", "x")], ("GETDEL",), lambda reply: reply == b"x")

    def test_one_deletes(self):
        self.race([("SET", "x")], ("DEL",), lambda reply: reply == 1)

    def test_one_ends_a_lifetime(self):
        self.race([("SET", "x", "EX", 100)], ("PERSIST",), lambda reply: reply == 1)

    def test_one_gives_a_lifetime(self):
        self.race([("SET", "x")], ("EXPIRE", 100, "NX"), lambda reply: reply == 1)

    def test_sums_are_exact(self):
        clients = self.clients(150)
        for wide in (False, True):
            if wide:
                self.nodes[1].ask("FB.INVALIDATE", "WAIT", "REDIS", "TAG", "whatever")
            key = f"sum:{wide}"
            said = at_once([lambda client=client: client.ask("INCRBY", key, 3) for client in clients])
            self.assertEqual(sorted(said, key=repr), sorted(range(3, 3 * len(clients) + 3, 3), key=repr))

    # ---- one connection

    def test_a_pipeline_has_its_effects_in_order(self):
        one = self.clients(1)[0]
        for turn in range(30):
            a, b = f"line:a:{turn}", f"line:b:{turn}"
            said = one.say(("SET", a, "1"), ("GET", a), ("APPEND", a, "2"), ("GET", a), ("INCR", a), ("GET", a),
                           ("MSET", a, "x", b, "y"), ("MGET", a, b, "nobody"), ("GETDEL", a), ("EXISTS", a, b),
                           ("GET", a), ("GET", b), ("STRLEN", b), ("TYPE", a), ("SET", b, "z", "EX", 100),
                           ("TTL", b), ("PERSIST", b), ("TTL", b), ("DEL", a, b), ("GET", b), ("PING",))
            left = said[15]
            self.assertTrue(50 < left <= 100, left)
            self.assertEqual(said, [b"OK", b"1", 2, b"12", 13, b"13", b"OK", [b"x", b"y", None], b"x", 1,
                                    None, b"y", 1, b"none", b"OK", left, 1, -1, 1, None, b"PONG"])

    def test_a_fetch_comes_after_the_change_before_it(self):
        one = self.clients(1)[0]
        self.assertIn(b"2.25", one.ask("FB.FETCH", "fruit", "name", "plum"))
        for turn in range(20):
            price = 100 + turn
            self.stage.write("UPDATE fruit SET price = ? WHERE name = 'plum'", price)
            what = [("KEY", "fruit:plum"), ("TAG", "colour:blue"), ("CLASS", "fruit"), ("ALL",)][turn % 4]
            _, fetched = one.say(("FB.INVALIDATE", *what), ("FB.FETCH", "fruit", "name", "plum"))
            self.assertIn(b"%d" % price, fetched, what)

    def test_a_transaction_runs_in_order(self):
        one = self.clients(1)[0]
        said = one.say(("MULTI",), ("SET", "exec", "5"), ("INCR", "exec"), ("GET", "exec"), ("DEL", "exec"),
                       ("GET", "exec"), ("EXEC",), ("GET", "exec"))
        self.assertEqual(said[-2:], [[b"OK", 6, b"6", 1, None], None])

    # ---- keys and values of any kind

    def test_any_bytes_are_a_key_and_a_value(self):
        a, b, c = self.clients(3)
        rng = random.Random(f"{SEED} bytes")
        values = [b"", b"\0", b"\r\n$-1\r\n", rng.randbytes(100), rng.randbytes(1 << 20), b"7" * 20]
        keys = [b"{", b"}", b"{}", b"{}x", b"{a}b", b"a{b}c{d}", b"x{{y}}", b"\0\xff\n", "schlüssel".encode(),
                b"*?[a-z]\\", rng.randbytes(65535), b"", b" "]
        for number, key in enumerate(keys):
            value = values[number % len(values)]
            self.assertEqual(a.ask("SET", key, value), b"OK", key[:20])
            self.assertEqual([one.ask("GET", key) == value for one in (b, c)], [True, True], key[:20])
            self.assertEqual(b.ask("STRLEN", key), len(value))
            self.assertEqual(c.ask("APPEND", key, b"\0"), len(value) + 1)
            self.assertEqual(a.ask("GETSET", key, b""), value + b"\0")
            self.assertEqual(b.ask("SET", key, b"x", "XX", "GET"), b"")
            self.assertEqual((c.ask("DEL", key), a.ask("GETDEL", key)), (1, None))
        self.assertIsInstance(a.ask("SET", rng.randbytes(65536), "x"), Exception)
        self.assertIsNone(a.ask("GET", b"k" * 65536))


if __name__ == "__main__":
    main()
