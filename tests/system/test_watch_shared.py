#!/usr/bin/python3
"""WATCH … EXEC on several nodes over one Redis, by unmodified clients: all of it or nothing, and only if
nothing that it rests on was changed meanwhile, by whatever way, on whatever node."""

import collections
import json
import random
import shutil
import subprocess
import tempfile
import threading
import time
import unittest

import redis

from forebay import PATIENCE, ROOT, clean_environment, main
from shared import HAS_REDIS, at_once, until
from test_clients import ioredis_folder
from test_near_caches import NearCache
from watching import SEED, Line, Nodes, as_text


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

        def move_all():
            try:
                at_once([lambda number=number: move(self.client(number), random.Random(f"{SEED} bank {number}"))
                         for number in range(5)])
            finally:
                done.set()

        at_once([move_all, lambda: read(self.client(0)), lambda: read(self.client(1))])
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

    # (what is done first, the change); `@` stands for a name of its own
    CHANGES = [
        ([("SET", "@", "1")], ("SET", "@", "2")),
        ([("SET", "@", "1")], ("SET", "@", "1")),
        ([], ("SET", "@", "1")),
        ([("SET", "@", "1")], ("DEL", "@")),
        ([("SET", "@", "1")], ("GETDEL", "@")),
        ([("SET", "@", "1")], ("EXPIRE", "@", "1000")),
        ([("SET", "@", "1")], ("PEXPIREAT", "@", "1")),
        ([("SET", "@", "1", "EX", "1000")], ("PERSIST", "@")),
        ([("SET", "@", "1", "EX", "1000")], ("GETEX", "@", "EX", "2000")),
        ([("SET", "@", "1")], ("INCR", "@")),
        ([], ("INCR", "@")),
        ([("SET", "@", "1")], ("APPEND", "@", "1")),
        ([("SET", "@", "1")], ("SETRANGE", "@", "1", "x")),
        ([("SET", "@", "1")], ("SETBIT", "@", "1", "0")),
        ([("SET", "@", "1")], ("INCRBYFLOAT", "@", "0.5")),
        ([], ("MSETNX", "@", "1")),
        ([("SET", "@", "1")], ("MSET", "@", "1")),
        ([("SET", "{@}other", "1")], ("RENAME", "{@}other", "@")),
        ([("SET", "{@}other", "1")], ("COPY", "{@}other", "@", "REPLACE")),
        ([("SET", "@", "1")], ("RENAME", "@", "{@}away")),
        ([("SET", "@", "1")], ("FB.INVALIDATE", "KEY", "@")),
        ([("FB.SET", "@", "1", "TAGS", "2", "hot", "cold")], ("FB.INVALIDATE", "TAG", "cold")),
        ([("SET", "note:@", "1")], ("FB.INVALIDATE", "TAG", "about:@")),
        ([("SET", "note:@", "1")], ("FB.INVALIDATE", "CLASS", "note")),
        ([("SET", "note:@", "1")], ("FB.INVALIDATE", "NAMESPACE", "notes")),
        ([("SET", "@", "1")], ("FB.INVALIDATE", "PATTERN", "@*")),
        ([("SET", "@", "1")], ("FB.INVALIDATE", "ALL")),
        ([("SET", "@", "1")], ("FLUSHALL",)),
    ]
    HARMLESS = [
        ("GET", "@"), ("MGET", "@", "@"), ("STRLEN", "@"), ("TTL", "@"), ("EXISTS", "@"), ("TYPE", "@"),
        ("GETRANGE", "@", "0", "1"), ("TOUCH", "@"), ("GETEX", "@"), ("FB.GET", "@"), ("FB.EXPLAIN", "@"),
        ("SET", "@", "x", "NX"), ("SETNX", "@", "x"), ("MSETNX", "@", "x", "@2", "y"),
        ("EXPIRE", "@", "2000", "LT"), ("RENAMENX", "@", "@"), ("COPY", "@", "{@}copy"), ("SET", "@2", "x"),
        ("DEL", "@2"), ("FB.INVALIDATE", "TAG", "unused"),
        ("FB.INVALIDATE", "CLASS", "counted"),
    ]

    @staticmethod
    def named(words, name):
        return [word.replace("@", name) for word in words]

    def check_conflicts(self, change_node):
        mine, theirs = self.line(0), self.line(change_node)
        for number, (before, change) in enumerate(self.CHANGES):
            name = f"k{change_node}-{number}"
            key = "note:" + name if before and before[0][1] == "note:@" else name
            witness = name + ":witness"
            for words in before:
                self.assertIsInstance(mine.ask(*self.named(words, name)), bytes, words)
            self.assertEqual(mine.ask("WATCH", key), b"OK")
            said = theirs.ask(*self.named(change, name))
            self.assertNotIsInstance(said, str, change)
            if change[0] in ("FB.INVALIDATE", "FLUSHALL"):  # a wide one is to have come here
                until(lambda: mine.ask("GET", key) is None, f"{change} here")
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
                name = f"fine{place}-{number}"
                self.assertEqual(mine.say(("SET", name, "1", "EX", "1000"), ("WATCH", name, name)), [b"OK"] * 2)
                self.assertNotIsInstance(theirs.ask(*self.named(words, name)), str, words)
                self.assertEqual(mine.execute(("APPEND", name, "2"), ("GET", name)), [2, b"12"], words)

    def test_a_change_by_http_is_one(self):
        mine = self.line(0)
        for node in (self.nodes[0], self.nodes[1]):
            for method, path, body in [("PUT", "/v1/keys/web", b"2"), ("DELETE", "/v1/keys/web", None),
                                       ("POST", "/v1/keys/incr", b'{"key": "web"}'),
                                       ("POST", "/v1/keys/expire", b'{"key": "web", "ttl": "5m"}'),
                                       ("POST", "/v1/invalidate", b'{"keys": ["web"]}'),
                                       ("POST", "/v1/invalidate", b'{"all": true}')]:
                self.assertEqual(mine.say(("SET", "web", "1"), ("WATCH", "web"), ("GET", "web")),
                                 [b"OK", b"OK", b"1"])
                status, _, said = node.http(method, path, body)
                self.assertLess(status, 300, (path, said))
                if path == "/v1/invalidate":
                    until(lambda: mine.ask("GET", "web") is None, "it here")
                self.assertIsNone(mine.execute(("SET", "web", "mine")), (method, path))
                self.assertEqual(mine.say(("WATCH", "web"), ("GET", "web"), ("UNWATCH",))[0], b"OK")

    def test_the_end_of_a_lifetime_is_one(self):
        for number in (0, 1):
            mine = self.line(number)
            until(lambda mine=mine: self.line(0).ask("SET", "short", "1", "PX", "300") and
                  mine.say(("UNWATCH",), ("WATCH", "short"), ("GET", "short"))[2], "a watch of what is there")
            until(lambda mine=mine: mine.ask("GET", "short") is None, "its end")
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
            self.assertEqual(sorted(said, key=lambda one: one is not None), [None] * 3 + [[b"OK", 1]])

    def test_what_is_read_after_watch_is_not_older_than_what_is_watched(self):
        """Memory may lag behind other nodes; a value from there must not be taken for the one watched."""
        reader, writer = self.line(0), self.line(1)
        done = threading.Event()

        def write():
            for number in range(1500):
                self.assertEqual(writer.ask("SET", "lagging", number), b"OK")
            done.set()

        def read():
            wholes = 0
            while not done.is_set() or wholes == 0:
                said = reader.say(("GET", "lagging"), ("WATCH", "lagging"), ("GET", "lagging"), ("MULTI",),
                                  ("GET", "lagging"), ("EXEC",))
                if said[-1] is not None:
                    self.assertEqual(said[-1], [said[2]])
                    wholes += 1

        at_once([write, read])

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


# What may stand in a transaction, with a and b of some value and c without: Redis itself is asked, too.
INSIDE = """
    GET a|GET c|STRLEN a|EXISTS a b c a|TYPE a|TYPE c|TTL a|PTTL c|MGET a c b|GETRANGE a 1 -2|SUBSTR a 0 1
    SET a 1|INCR a|INCRBY a 41|DECR a|DECRBY a 2|INCRBYFLOAT a 0.5|GET a|INCR a|GET a|APPEND a x|APPEND c y|STRLEN c
    SET c z NX|SET c z XX GET|SET c z XX NX|SET c z NX GET|SETNX d 1|SETNX d 2|GETSET d 3|GETDEL d|GETDEL d|GET d
    MSET d 1 e 2|MSETNX e 3 f 3|MSETNX f 4 g 5|MGET d e f g|DEL d e nothing|UNLINK f g|EXISTS d e f g
    SETRANGE r 3 abc|GET r|SETBIT r 0 1|GETBIT r 0|GETBIT r 1|EXISTS nothing
    SET l ohmytext|SET m mynewtext|LCS l m|LCS l m LEN|LCS l m IDX|RENAME l n|EXISTS l n|RENAMENX n m|RENAMENX n o
    RENAME nothing x|COPY o p|COPY o p|COPY o p REPLACE|COPY nothing p|GET p|TOUCH o p nothing
    EXPIRE o 1000|TTL o|EXPIRE o 500 GT|EXPIRE o 2000 NX|EXPIRE o 500 LT|TTL o|PERSIST o|PERSIST o|TTL o
    EXPIREAT o 33177117420|EXPIRETIME o|PEXPIREAT o 33177117420000|PEXPIRETIME o|GETEX o PERSIST|TTL o|EXPIRE o -1|GET o
    SETEX q 1000 v|PSETEX q 1000000 w|GET q|SET q x KEEPTTL|TTL q|SET q y|TTL q|SET q y EX 77|GETEX q EX 99|TTL q
    SET q abc|INCR q|DECRBY q 1|INCRBYFLOAT q 1|SET big 9223372036854775807|INCR big|GET big|SETBIT q 0 2
    PING|PING hello|ECHO hello
"""


def near_at(test, port):
    """A connection in RESP3 to whatever listens there."""
    made = NearCache(collections.namedtuple("At", "resp_port")(port))
    test.addCleanup(made.close)
    return made


@unittest.skipUnless(HAS_REDIS, "no redis-server here")
class Sessions(Nodes):
    """What one connection may say, and in which order."""

    def test_commands_inside_answer_as_in_redis(self):
        peer = self.stage.redis()
        commands = [tuple(words.split(" ")) for line in INSIDE.split("\n")[1:-1] for words in line.strip().split("|")]
        commands.append(("SETRANGE", "nothing", "5", ""))
        for protocol in (2, 3):
            said = []
            for port in (self.nodes[0].resp_port, peer.port):
                one = Line(self, self.nodes[0], port) if protocol == 2 else near_at(self, port)
                one.ask("FLUSHALL")
                for words in (("MSET", "a", "some text", "b", "2"), ("WATCH", "a", "b", "c"), ("MULTI",), *commands):
                    self.assertIn(one.ask(*words), (b"OK", b"QUEUED"), words)
                said.append(one.ask("EXEC") + [one.ask("MGET", *"abcdefgmnopqr")])
                self.assertEqual(len(said[-1]), len(commands) + 1)
            for words, ours, theirs in zip([*commands, "at last"], *said):
                if words[0] in ("TTL", "PTTL") and theirs > 0:
                    self.assertAlmostEqual(ours, theirs, delta=100)
                else:
                    self.assertEqual(ours, theirs, words)

    def test_a_pipeline_in_one_piece(self):
        one, other = self.line(0), self.line(0)
        for turn in range(20):
            key = f"piece:{turn}"
            said = one.say(("SET", key, "1"), ("WATCH", key), ("GET", key), ("MULTI",), ("INCR", key), ("GET", key),
                           ("EXEC",), ("GET", key), ("WATCH", key), ("INCR", key), ("MULTI",), ("SET", key, "no"),
                           ("EXEC",), ("GET", key), ("MULTI",), ("DEL", key), ("EXEC",), ("GET", key), ("PING",))
            self.assertEqual(said, [b"OK", b"OK", b"1", b"OK", b"QUEUED", b"QUEUED", [2, b"2"], b"2", b"OK", 3,
                                    b"OK", b"QUEUED", None, b"3", b"OK", b"QUEUED", [1], None, b"PONG"])
            # Any other connection of the node sees it as soon as it is answered.
            self.assertEqual(one.say(("WATCH", key), ("MULTI",), ("SET", key, turn), ("EXEC",))[-1], [b"OK"])
            self.assertEqual(other.ask("GET", key), b"%d" % turn)

    def test_replies_before_it_are_still_to_come(self):
        said = self.line().say(("FB.FETCH", "slow", "rounds", 200_000), ("FB.FETCH", "slow", "rounds", 100_000),
                               ("WATCH", "late"), ("MULTI",), ("SET", "late", "1"), ("EXEC",), ("GET", "late"))
        self.assertEqual([json.loads(one)["rounds"] for one in said[:2]], [200_000, 100_000])
        self.assertEqual(said[2:], [b"OK", b"OK", b"QUEUED", [b"OK"], b"1"])

    def test_what_fails_inside_keeps_nothing_else_from_being_done(self):
        one = self.line()
        said = one.say(("SET", "text", "abc"), ("WATCH", "text"), ("MULTI",), ("SET", "before", "1"), ("INCR", "text"),
                       ("SET", "after", "2"), ("EXEC",), ("MGET", "before", "text", "after"))
        self.assertEqual(said[-2:], [[b"OK", "ERR value is not an integer or out of range", b"OK"],
                                     [b"1", b"abc", b"2"]])

    def test_what_runs_inside_is_counted(self):
        def calls():
            with self.nodes[2].redis() as client:
                rows = client.info("commandstats")
            return [rows.get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in ("set", "strlen", "exec")]
        one, before = self.line(2), calls()
        said = one.say(("WATCH", "counted"), ("MULTI",), ("SET", "counted", "1"), ("STRLEN", "counted"),
                       ("STRLEN", "counted"), ("EXEC",))[-1]
        self.assertEqual(said, [b"OK", 1, 1])
        self.assertEqual([now - then for now, then in zip(calls(), before)], [1, 2, 1])

    def test_an_empty_one(self):
        one, other = self.line(0), self.line(1)
        self.assertEqual(one.say(("WATCH", "e"), ("MULTI",), ("EXEC",)), [b"OK", b"OK", []])
        self.assertEqual(one.ask("WATCH", "e"), b"OK")
        self.assertEqual(other.ask("SET", "e", "1"), b"OK")
        self.assertEqual(one.say(("MULTI",), ("EXEC",)), [b"OK", None])

    def test_what_ends_watching(self):
        one, other = self.line(0), self.line(1)
        ends = [(("UNWATCH",), b"OK"), (("RESET",), b"RESET"), (("EXEC",), "ERR EXEC without MULTI")]
        for number, (words, said) in enumerate(ends):
            key = f"ends:{number}"
            self.assertEqual(one.ask("WATCH", key), b"OK")
            self.assertEqual(other.ask("SET", key, "theirs"), b"OK")
            self.assertEqual(one.ask(*words), said)
            self.assertEqual(one.execute(("SET", key, "mine")), None if words == ("EXEC",) else [b"OK"])
        for discard in ("DISCARD", "RESET"):
            self.assertEqual(one.say(("WATCH", "ends"), ("MULTI",), ("SET", "ends", "never")),
                             [b"OK", b"OK", b"QUEUED"])
            self.assertEqual(other.ask("SET", "ends", discard), b"OK")
            self.assertIn(one.ask(discard), (b"OK", b"RESET"))
            self.assertEqual(one.ask("EXEC"), "ERR EXEC without MULTI")
            self.assertEqual(one.ask("WATCH", "other"), b"OK")
            self.assertEqual(one.execute(("GET", "ends")), [discard.encode()])

    def test_watch_inside_is_refused(self):
        one = self.line()
        said = one.say(("WATCH", "w"), ("MULTI",), ("WATCH", "x"), ("SET", "w", "1"))
        self.assertEqual((said[0], said[2][:4]), (b"OK", "ERR "))
        self.assertIn(one.ask("EXEC"), ([b"OK"], "EXECABORT Transaction discarded because of previous errors."))
        self.assertEqual(one.say(("WATCH",), ("MULTI",), ("MULTI",), ("DISCARD",), ("DISCARD",))[0][:4], "ERR ")

    def test_what_is_not_undone_is_refused(self):
        one = self.line()
        for words in [("SELECT", "0"), ("AUTH", "x"), ("HELLO", "3"), ("CLIENT", "NO-EVICT", "ON"), ("FLUSHALL",),
                      ("FB.INVALIDATE", "KEY", "x"), ("FB.FETCH", "fruit", "name", "apple"), ("KEYS", "*"), ("SCAN", "0"),
                      ("CL.THROTTLE", "x", "1", "1", "1"), ("PUBLISH", "x", "y"), ("DBSIZE",), ("FB.SET", "k", "v"),
                      ("CLIENT", "REPLY", "OFF"), ("SUBSCRIBE", "x"), ("OBJECT", "ENCODING", "x"), ("NO.SUCH",)]:
            said = one.say(("WATCH", "refused"), ("MULTI",), ("SET", "refused", "1"), words, ("SET", "refused", "2"),
                           ("EXEC",), ("GET", "refused"))
            self.assertIsInstance(said[3], str, words)
            self.assertEqual(said[5:], ["EXECABORT Transaction discarded because of previous errors.", None], words)

    def test_without_replies(self):
        one = self.line()
        one.send(("CLIENT", "REPLY", "OFF"), ("WATCH", "mute"), ("MULTI",), ("SET", "mute", "1"), ("EXEC",),
                 ("CLIENT", "REPLY", "ON"))
        self.assertEqual(one.replies.next(), b"OK")
        self.assertEqual(one.ask("GET", "mute"), b"1")
        one.send(("WATCH", "mute"), ("MULTI",), ("INCR", "mute"), ("CLIENT", "REPLY", "SKIP"), ("GET", "mute"),
                 ("DISCARD",), ("WATCH", "mute"), ("CLIENT", "REPLY", "SKIP"), ("MULTI",), ("INCR", "mute"), ("EXEC",))
        said = [as_text(one.replies.next()) for _ in range(9)]
        self.assertEqual(said[-3:], [b"OK", b"QUEUED", [2]], said)

    def test_many_keys_and_large_values(self):
        one, other = self.line(0), self.line(1)
        names = [f"many:{number}" for number in range(500)]
        self.assertEqual(one.ask("WATCH", *names), b"OK")
        said = one.execute(*(("SET", name, "x" * 1000) for name in names), ("MGET", *names))
        self.assertEqual(said, [b"OK"] * 500 + [[b"x" * 1000] * 500])
        self.assertEqual(one.ask("WATCH", *names), b"OK")
        self.assertEqual(other.ask("SET", names[499], "y"), b"OK")
        self.assertIsNone(one.execute(*(("DEL", name) for name in names)))
        self.assertEqual(one.ask("EXISTS", *names), 500)
        large = b"l" * (1 << 20)
        self.assertEqual(one.ask("WATCH", "large"), b"OK")
        self.assertEqual(one.execute(("SET", "large", large), ("GET", "large"), ("APPEND", "large", "x")),
                         [b"OK", large, len(large) + 1])
        self.assertEqual(one.ask("STRLEN", "large"), len(large) + 1)
        self.assertEqual(one.ask("WATCH", "first"), b"OK")
        said = one.execute(("SET", "first", "1"), *(("GET", f"too-many:{number}") for number in range(1100)))
        self.assertRegex(said, "too many keys")
        self.assertEqual((one.ask("GET", "first"), one.ask("PING")), (None, b"PONG"))
        self.assertRegex(one.ask("WATCH", "k" * 70_000), "too long|larger")
        self.assertEqual(one.say(("MULTI",), ("SET", "first", "1"), ("EXEC",), ("GET", "first"))[2:],
                         ["EXECABORT Transaction discarded because WATCH failed", None])
        self.assertEqual(one.execute(("SET", "first", "1")), [b"OK"])

    def test_rights_that_are_taken_away(self):
        boss, one = self.line(), self.line()
        self.assertEqual(boss.ask("ACL", "SETUSER", "clerk", "reset", "on", "nopass", "~*", "+@all"), b"OK")
        self.assertEqual(one.ask("AUTH", "clerk", "x"), b"OK")
        self.assertEqual(one.say(("WATCH", "right"), ("MULTI",), ("SET", "right", "1"), ("GET", "right"), ("PING",)),
                         [b"OK", b"OK"] + [b"QUEUED"] * 3)
        self.assertEqual(boss.ask("ACL", "SETUSER", "clerk", "-set"), b"OK")
        said = one.ask("EXEC")
        self.assertEqual((said[0][:7], said[1:]), ("NOPERM ", [None, b"PONG"]))
        self.assertEqual(one.say(("WATCH", "right"), ("MULTI",), ("GET", "right")), [b"OK", b"OK", b"QUEUED"])
        self.assertEqual(boss.ask("ACL", "SETUSER", "clerk", "-exec"), b"OK")
        self.assertRegex(one.ask("EXEC"), "^EXECABORT .*NOPERM")
        self.assertEqual(boss.ask("ACL", "SETUSER", "clerk", "+exec"), b"OK")
        self.assertEqual(one.ask("EXEC"), "ERR EXEC without MULTI")
        self.assertEqual(one.say(("WATCH", "right"), ("MULTI",), ("GET", "right")), [b"OK", b"OK", b"QUEUED"])
        self.assertEqual(boss.ask("ACL", "DELUSER", "clerk"), 1)
        try:
            one.send(("EXEC",))
            self.assertEqual(one.socket.recv(1), b"")
        except ConnectionError:
            pass

    def test_near_caches_are_told(self):
        """Of what EXEC reads, and by what it changes, on all nodes."""
        readers = [NearCache(node) for node in self.nodes]
        writer = self.line(1)
        self.assertEqual(writer.ask("MSET", "near:a", "1", "near:b", "1"), b"OK")
        for one in readers:
            self.addCleanup(one.close)
            for words in (("WATCH", "near:a"), ("MULTI",), ("GET", "near:a"), ("GET", "near:b")):
                one.ask(*words)
            self.assertEqual(one.ask("EXEC"), [b"1", b"1"])
            one.kept = {"near:a": "1", "near:b": "1"}
        self.assertEqual(writer.say(("WATCH", "near:a"), ("MULTI",), ("SET", "near:a", "2"), ("DEL", "near:b"),
                                    ("EXEC",))[-1], [b"OK", 1])
        for one in readers:
            self.until_told(one)
            self.assertEqual(one.ask("MGET", "near:a", "near:b"), [b"2", None])

    def test_near_caches_are_told_of_what_their_own_transaction_changed(self):
        for number, node in enumerate(self.nodes):
            one, key = NearCache(node), f"own:{number}"
            self.addCleanup(one.close)
            for words in (("SET", key, "1"), ("WATCH", key), ("MULTI",), ("GET", key), ("SET", key, "2")):
                one.ask(*words)
            self.assertEqual(one.ask("EXEC"), [b"1", b"OK"])
            one.kept = {key: "1"}  # as a client does that keeps what it reads
            self.until_told(one)

    def until_told(self, near):
        def heard():
            near.listen()
            return not near.kept
        until(heard, "a notice of all")

    # ---- keys of classes

    def test_keys_of_classes(self):
        one = self.line()
        said = one.say(("WATCH", "note:1", "fruit:kiwi"), ("MULTI",), ("SET", "note:1", "text"), ("TTL", "note:1"),
                       ("APPEND", "note:2", "new"), ("TTL", "note:2"), ("GET", "fruit:kiwi"), ("SET", "loose", "x"),
                       ("TTL", "loose"), ("EXEC",))[-1]
        for number in (1, 3):
            self.assertTrue(3500 < said[number] <= 3600, said)
        self.assertEqual([said[0], said[2], *said[4:]], [b"OK", 3, None, b"OK", -1])
        one.ask("FB.INVALIDATE", "TAG", "about:1")
        self.assertEqual(one.ask("MGET", "note:1", "note:2"), [None, b"new"])
        self.assertEqual(one.say(("WATCH", "note:2"), ("MULTI",), ("APPEND", "note:2", "er"), ("EXEC",))[-1], [5])
        one.ask("FB.INVALIDATE", "CLASS", "note")
        self.assertIsNone(one.ask("GET", "note:2"))

    def test_leases_and_tags_are_as_outside(self):
        one = self.line()

        def outside(*words):
            return one.ask(*words)

        def within(*words):
            return one.say(("WATCH", "any"), ("MULTI",), words, ("EXEC",))[-1][0]
        for do in (outside, within):
            name = do.__name__
            leased, tagged = f"leased:{name}", f"tagged:{name}"
            word, token = one.ask("FB.GET", leased)
            self.assertEqual((word, do("SET", leased, "new"), one.ask("FB.FILL", leased, token, "old"),
                              one.ask("GET", leased)), (b"lease", b"OK", 0, b"new"), name)
            one.ask("FB.SET", tagged, "1", "TAGS", "1", f"tag:{name}")
            self.assertEqual((do("APPEND", tagged, "2"), do("EXPIRE", tagged, "1000")), (2, 1), name)
            self.assertRegex(do("RENAME", tagged, tagged + ":new"), "a key with tags cannot", name)
            self.assertEqual(one.ask("GET", tagged), b"12", name)
            one.ask("FB.INVALIDATE", "TAG", f"tag:{name}")
            self.assertIsNone(one.ask("GET", tagged), name)
            self.assertRegex(do("SET", "large", b"x" * (70 << 20)), "larger than one entry", name)

    def test_a_value_of_a_source(self):
        """It is read as any other; where it is not there, nobody is asked."""
        one = self.line()
        loaded = one.ask("FB.FETCH", "fruit", "name", "apple")
        # That it reaches the shared tier is a change, too.
        def look():
            said = one.say(("WATCH", "fruit:apple"), ("MULTI",), ("GET", "fruit:apple"), ("EXISTS", "fruit:plum"),
                           ("GET", "fruit:plum"), ("EXEC",))[-1]
            return said if said and said[0] else None
        self.assertEqual(until(look, "a look without a conflict"), [loaded, 0, None])
        self.assertEqual(one.ask("WATCH", "fruit:apple"), b"OK")
        self.line(1).ask("FB.INVALIDATE", "KEY", "fruit:apple")
        self.assertIsNone(one.execute(("SET", "fruit:apple", "mine")))
        self.assertEqual(one.ask("WATCH", "fruit:cherry"), b"OK")
        self.line(1).ask("FB.FETCH", "fruit", "name", "cherry")
        until(lambda: self.line(2).ask("GET", "fruit:cherry"), "the value in the shared tier")
        self.assertIsNone(one.execute(("SET", "fruit:cherry", "mine")))

    def test_a_plain_layout_is_refused_by_name(self):
        one = self.line()
        self.assertEqual(one.ask("SET", "plain:1", "x"), b"OK")
        self.assertRegex(one.ask("WATCH", "plain:1"), "^[A-Z]+ .*plain layout")
        self.assertEqual(one.ask("UNWATCH"), b"OK")
        self.assertEqual(one.ask("WATCH", "other"), b"OK")
        self.assertRegex(one.execute(("SET", "other", "1"), ("SET", "plain:1", "y")), "plain layout")
        self.assertEqual(one.ask("MGET", "plain:1", "other"), [b"x", None])


if __name__ == "__main__":
    main()
