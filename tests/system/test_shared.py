#!/usr/bin/python3
"""Several nodes over one Redis: what one does, the others see. Real processes, ordinary clients."""

import json
import random
import threading
import time
import unittest

import redis

from forebay import Replies, TestCase, command, main, run
from shared import HAS_REDIS, Stage, until

CLIENTS = 100  # on each of three nodes
# Some 0.1 s of SQLite's time: far less than the 3 s for which a lease is held where nobody has seen a load
# of that key yet, also on a busy machine.
SLOW_ROUNDS = 400_000
# No request and no connection is given up because the machine is busy.
PATIENT = ("--set", "redis.hard_timeout=60s", "--set", "redis.connect_timeout=60s")
MAX_LAG_MS = 5000  # nor does a node count as dead, which it does after twice that
CALM_MS = 600_000  # nor is a server replaced
# The least for which a lease is held: a load that takes longer may be done by another node as well.
LEASE_S = 1


def pairs(flat):
    return dict(zip(flat[::2], flat[1::2]))


@unittest.skipUnless(HAS_REDIS, "no redis-server here")
class OneRedis(TestCase):
    """Three nodes and one Redis for all tests of the class; each test has keys of its own."""

    @classmethod
    def setUpClass(cls):
        cls.stage = Stage().__enter__()
        cls.addClassCleanup(cls.stage.__exit__, None)
        cls.redis = cls.stage.redis()
        cls.nodes = cls.stage.nodes(cls.redis.url, arguments=PATIENT, max_lag=MAX_LAG_MS)
        cls.a, cls.b, cls.c = cls.nodes

    def on_all(self, *words):
        return [node.ask(*words) for node in self.nodes]

    def seen_by_all(self, wanted, *words):
        """Each node is asked once its notice has had the time to come: long before max_lag."""
        until(lambda: self.on_all(*words) == [wanted] * len(self.nodes), f"{wanted!r} on all nodes", 20)

    def test_a_value_that_one_node_loaded_the_others_take(self):
        for node in self.nodes:
            self.assertEqual(json.loads(node.fetch("plum"))["price"], 2.25)
        self.assertEqual(sum(node.stats("fruit")["loads"] for node in self.nodes), 1)

    def test_who_does_not_exist_is_asked_for_once(self):
        loads = sum(node.stats("fruit")["loads"] for node in self.nodes)
        self.assertEqual([node.fetch("nobody") for node in self.nodes], [None] * 3)
        self.assertEqual(sum(node.stats("fruit")["loads"] for node in self.nodes), loads + 1)

    def test_copy_and_rename_hold_on_all(self):
        self.a.ask("SET", "move:old", "value", "EX", 1000)
        self.assertEqual(self.b.ask("COPY", "move:old", "move:copy"), 1)
        self.assertEqual(self.c.ask("COPY", "move:old", "move:copy"), 0)
        self.assertTrue(self.c.ask("RENAME", "move:old", "move:new"))
        self.seen_by_all(None, "GET", "move:old")
        self.seen_by_all("value", "GET", "move:new")
        self.seen_by_all("value", "GET", "move:copy")
        self.assertTrue(all(800 < left <= 1000 for left in self.on_all("TTL", "move:new")))
        self.assertFalse(self.a.ask("RENAMENX", "move:new", "move:copy"))
        self.assertTrue(self.a.ask("RENAMENX", "move:new", "move:newer"))
        self.seen_by_all("value", "GET", "move:newer")
        with self.assertRaisesRegex(redis.ResponseError, "no such key"):
            self.b.ask("RENAME", "move:new", "move:newest")
        # Also where word of it comes while the other node reads it.
        for number in range(200):
            self.a.ask("FB.SET", f"move:tagged:{number}", "value", "TAGS", 1, "move")
            with self.assertRaisesRegex(redis.ResponseError, "tags would not follow"):
                self.b.ask("RENAME", f"move:tagged:{number}", "move:new")

    def test_what_is_set_ends_a_hold(self):
        """For its own node as well, which hears of its hold once more after that."""
        for number in range(40):
            with self.a.redis() as client, client.pipeline(transaction=False) as pipe:
                pipe.execute_command("FB.HOLD", f"held:{number}", 600000)
                pipe.set(f"held:{number}", "v")
                pipe.execute()
        for number in range(40):
            self.seen_by_all("v", "GET", f"held:{number}")

    def test_what_is_renamed_is_always_somewhere(self):
        """And what MSET and MSETNX set is there together: whoever reads several keys in one step never sees
        a part of it, on whatever node."""
        self.a.ask("MSET", "step:here", "0", "step:pair:1", "0", "step:pair:2", "0")
        self.a.ask("DEL", "step:there")
        ended = threading.Event()
        faults, looks = [], []

        def change():
            for number in range(200):
                self.a.ask("RENAME", *(("step:here", "step:there") if number % 2 == 0 else ("step:there", "step:here")))
                self.a.ask("MSET", "step:pair:1", number, "step:pair:2", number)
                self.a.ask("MSETNX", f"step:new:{number}:1", "x", f"step:new:{number}:2", "x")

        def look(node):
            client = node.redis()
            while not ended.is_set():
                with client.pipeline() as pipe:
                    number = random.randrange(200)
                    pipe.watch("step:nobody")  # what is only read in EXEC need not be watched
                    pipe.multi()
                    pipe.exists("step:here")
                    pipe.exists("step:there")
                    pipe.mget("step:pair:1", "step:pair:2")
                    pipe.mget(f"step:new:{number}:1", f"step:new:{number}:2")
                    here, there, pair, new = pipe.execute()
                    looks.append(here)
                    if here + there != 1 or pair[0] != pair[1] or new[0] != new[1]:
                        faults.append((here, there, pair, new))

        readers = [threading.Thread(target=look, args=(node,)) for node in (self.b, self.c)]
        for reader in readers:
            reader.start()
        try:
            change()
            until(lambda: len(looks) > 10, "some looks")
        finally:
            ended.set()
            for reader in readers:
                reader.join()
        self.assertEqual(faults, [])

    def test_of_nodes_that_rename_one_key_one_succeeds(self):
        def rename(node, number, won):
            try:
                node.ask("RENAME", "prize", f"prize:{number}")
                won.append(number)
            except redis.ResponseError as error:
                self.assertIn("no such key", str(error))

        for _ in range(20):
            won = []
            self.a.ask("SET", "prize", "x")
            threads = [threading.Thread(target=rename, args=(node, number, won))
                       for number, node in enumerate(self.nodes)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            self.assertEqual(len(won), 1)
            self.seen_by_all("x", "GET", f"prize:{won[0]}")
            self.a.ask("DEL", f"prize:{won[0]}")

    def test_set_get_append_del_and_lifetimes_hold_on_all(self):
        self.a.ask("SET", "word", "one", "EX", 100)
        self.seen_by_all("one", "GET", "word")
        self.assertEqual(self.b.ask("APPEND", "word", " two"), 7)
        self.seen_by_all("one two", "GET", "word")
        self.assertTrue(all(0 < left <= 100 for left in self.on_all("TTL", "word")))
        self.c.ask("EXPIRE", "word", 1000)
        until(lambda: all(100 < left <= 1000 for left in self.on_all("TTL", "word")), "a new lifetime", 20)
        self.c.ask("PERSIST", "word")
        self.seen_by_all(-1, "TTL", "word")
        self.assertEqual(self.a.ask("DEL", "word"), 1)
        self.seen_by_all(None, "GET", "word")

    def test_a_lifetime_ends_on_all(self):
        for lasts_ms in (300, 3000, 30000):  # longer where it was over before all had been asked
            begun = time.monotonic()
            self.a.ask("SET", "brief", "x", "PX", lasts_ms)
            seen = self.on_all("GET", "brief")
            if time.monotonic() - begun < lasts_ms / 1000 - 0.01:
                break
        self.assertEqual(seen, ["x"] * 3)
        until(lambda: self.on_all("GET", "brief") == [None] * 3, "its end", lasts_ms / 1000 + 20)

    def test_counters_are_counted_by_all(self):
        threads = [threading.Thread(target=lambda node=node: [node.ask("INCR", "count") for _ in range(100)])
                   for node in self.nodes]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.seen_by_all("300", "GET", "count")
        self.assertEqual(self.a.ask("DECRBY", "count", 299), 1)

    def test_of_many_who_set_if_absent_one_does(self):
        for round_number in range(20):
            won = []
            threads = [threading.Thread(target=lambda node=node: won.append(
                node.ask("SET", f"lock:{round_number}", "mine", "NX"))) for node in self.nodes]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            self.assertEqual(sum(bool(one) for one in won), 1, won)

    def test_three_hundred_who_ask_for_one_cold_key_are_one_query(self):
        connections = []
        for node in self.nodes:
            connections += [node.socket() for _ in range(CLIENTS)]
        for connection in connections:
            self.addCleanup(connection.close)
        replies = [Replies(connection) for connection in connections]
        for rounds in (SLOW_ROUNDS, SLOW_ROUNDS // 2, SLOW_ROUNDS // 4, SLOW_ROUNDS // 10, SLOW_ROUNDS // 40):
            before, begun = [node.stats("slow") for node in self.nodes], time.monotonic()
            for connection in connections:
                connection.sendall(command("FB.FETCH", "slow", "rounds", rounds))
            self.assertEqual({one.next() for one in replies}, {b'{"rounds":%d}' % rounds})
            took = time.monotonic() - begun
            stats = [node.stats("slow") for node in self.nodes]
            grown = {name: [now[name] - then[name] for now, then in zip(stats, before)]
                     for name in ("loads", "hits", "misses", "errors")}
            self.assertEqual([sum(both) for both in zip(grown["hits"], grown["misses"])], [CLIENTS] * 3)
            self.assertEqual(grown["errors"], [0] * 3)
            if took < LEASE_S or sum(grown["loads"]) == 1:  # else it may have outlasted its lease
                break
        self.assertEqual(sum(grown["loads"]), 1, grown)

    # ---- invalidation

    def check_scope(self, *words):
        """What `words` invalidate on one node is loaded anew on the others."""
        price = 10
        for by in self.nodes:
            for node in self.nodes:
                node.fetch("apple")
                node.fetch("red", "list", "colour")
            price += 1
            self.stage.write("UPDATE fruit SET price = ? WHERE name = 'apple'", price)
            receipt = pairs(by.ask("FB.INVALIDATE", "WAIT", "REDIS", *words))
            self.assertEqual(receipt["reached"], "shared")
            found = (lambda node: json.loads(node.fetch("apple"))["price"]) if "list" not in words[-1] else \
                (lambda node: json.loads(node.fetch("red", "list", "colour"))[0]["price"])
            self.assertEqual(found(by), price)
            for node in self.nodes:
                until(lambda node=node: found(node) == price, f"{words} by another node", 20)

    def test_an_invalidation_by_key_is_seen_on_all(self):
        self.check_scope("KEY", "fruit:apple")

    def test_an_invalidation_by_tag_is_seen_on_all(self):
        self.check_scope("TAG", "colour:red")

    def test_an_invalidation_by_class_is_seen_on_all(self):
        self.check_scope("CLASS", "fruit")

    def test_an_invalidation_by_namespace_is_seen_on_all(self):
        self.check_scope("NAMESPACE", "lists")

    def test_an_invalidation_by_an_indexed_pattern_is_seen_on_all(self):
        self.check_scope("PATTERN", "list:red:*")

    def test_an_invalidation_by_any_pattern_is_seen_on_all(self):
        self.check_scope("PATTERN", "f*it:?pple")

    def test_an_invalidation_of_all_is_seen_on_all(self):
        self.check_scope("ALL")

    def test_what_waits_for_nodes_is_in_force_on_all_when_it_returns(self):
        # In the first moments of a log nobody can be sure who else lives.
        until(lambda: not isinstance(self.try_nodes("fruit:cherry"), Exception), "a log that is old enough")
        for price in range(20, 40):
            for node in self.nodes:
                node.fetch("cherry")
            self.stage.write("UPDATE fruit SET price = ? WHERE name = 'cherry'", price)
            receipt = pairs(self.a.ask("FB.INVALIDATE", "WAIT", "NODES", "KEY", "fruit:cherry"))
            self.assertEqual((receipt["reached"], receipt["nodes"], receipt["nodes_alive"]), ("nodes", 2, 2))
            self.assertEqual([json.loads(node.fetch("cherry"))["price"] for node in self.nodes], [price] * 3)

    def try_nodes(self, key):
        try:
            return self.a.ask("FB.INVALIDATE", "WAIT", "NODES", "KEY", key)
        except redis.ResponseError as error:
            return error

    def test_who_has_the_token_of_a_change_reads_nothing_older(self):
        for number in range(50):
            token = self.a.ask("FB.SET", "told", number)
            for node in (self.b, self.c):
                self.assertEqual(node.ask("FB.GET", "told", "MINSEQ", token), ["value", str(number)])
        for price in range(50, 70):
            for node in self.nodes:
                node.fetch("lemon")
            self.stage.write("UPDATE fruit SET price = ? WHERE name = 'lemon'", price)
            token = pairs(self.a.ask("FB.INVALIDATE", "WAIT", "REDIS", "KEY", "fruit:lemon"))["token"]
            for node in (self.b, self.c):
                value = node.ask("FB.FETCH", "MINSEQ", token, "fruit", "name", "lemon")
                self.assertEqual(json.loads(value)["price"], price)

    # ---- leases, holds, versions

    def test_one_of_many_gets_the_lease_and_the_others_its_value(self):
        word, token = self.a.ask("FB.GET", "aside:1")
        self.assertEqual(word, "lease")
        self.assertEqual([node.ask("FB.GET", "aside:1") for node in (self.b, self.c)], [["wait"], ["wait"]])
        self.assertEqual(self.a.ask("FB.FILL", "aside:1", token, "loaded", "EX", 100), 1)
        self.assertEqual(self.on_all("FB.GET", "aside:1"), [["value", "loaded"]] * 3)

    def test_a_lease_is_gone_when_its_key_is_invalidated_anywhere(self):
        _, token = self.a.ask("FB.GET", "aside:2")
        self.b.ask("FB.INVALIDATE", "WAIT", "REDIS", "KEY", "aside:2")
        self.assertEqual(self.a.ask("FB.FILL", "aside:2", token, "old"), 0)
        self.assertEqual(self.on_all("GET", "aside:2"), [None] * 3)

    def test_a_lease_is_filled_through_the_node_that_gave_it(self):
        _, token = self.a.ask("FB.GET", "aside:3")
        self.assertEqual(self.b.ask("FB.FILL", "aside:3", token, "loaded"), 0)
        self.assertEqual(self.a.ask("FB.FILL", "aside:3", token, "loaded"), 1)
        self.seen_by_all("loaded", "GET", "aside:3")

    def test_under_a_hold_nothing_is_stored(self):
        self.a.ask("FB.HOLD", "fruit:pear", 60000)
        for node in self.nodes:
            self.assertEqual(json.loads(node.fetch("pear"))["price"], 3)
        self.stage.write("UPDATE fruit SET price = 4 WHERE name = 'pear'")
        for node in self.nodes:
            until(lambda node=node: json.loads(node.fetch("pear"))["price"] == 4, "the new row", 20)
        self.b.ask("FB.INVALIDATE", "WAIT", "REDIS", "KEY", "fruit:pear")

        def is_stored():
            """Which it is again when the others have heard of the invalidation."""
            loads = sum(node.stats("fruit")["loads"] for node in self.nodes)
            for _ in range(3):
                self.assertEqual([json.loads(node.fetch("pear"))["price"] for node in self.nodes], [4] * 3)
            return sum(node.stats("fruit")["loads"] for node in self.nodes) == loads
        until(is_stored, "the end of the hold", 20)

    def test_an_older_source_version_is_refused(self):
        self.assertIsNotNone(self.a.ask("FB.SET", "versioned", "ten", "SRCVER", 10))
        self.assertIsNone(self.b.ask("FB.SET", "versioned", "nine", "SRCVER", 9))
        self.assertEqual(self.c.ask("GET", "versioned"), "ten")
        self.a.ask("FB.INVALIDATE", "WAIT", "REDIS", "SRCVER", 12, "KEY", "versioned")
        _, token = self.b.ask("FB.GET", "versioned")
        self.assertEqual(self.b.ask("FB.FILL", "versioned", token, "eleven", "SRCVER", 11), 0)
        _, token = self.b.ask("FB.GET", "versioned")
        self.assertEqual(self.b.ask("FB.FILL", "versioned", token, "twelve", "SRCVER", 12), 1)
        self.seen_by_all("twelve", "GET", "versioned")

    # ---- orders and layouts

    def test_shared_first_always_reads_the_newest_word(self):
        for number in range(200):
            self.nodes[number % 3].ask("SET", "first:1", number)
            self.assertEqual(self.on_all("GET", "first:1"), [str(number)] * 3)

    def test_plain_values_are_shared_with_programs_that_know_nothing_of_forebay(self):
        with self.redis.client() as other:
            self.a.ask("SET", "plain:1", "by forebay", "EX", 100)
            self.assertEqual(other.get("plain:1"), "by forebay")
            self.assertTrue(0 < other.ttl("plain:1") <= 100)
            self.assertEqual(self.on_all("GET", "plain:1"), ["by forebay"] * 3)
            other.setex("plain:1", 50, "by another")
            self.seen_by_all("by another", "GET", "plain:1")
            other.delete("plain:1")
            self.seen_by_all(None, "GET", "plain:1")
            other.set("plain:2", "7")
            self.assertEqual(self.a.ask("INCR", "plain:2"), 8)
            self.assertEqual(other.get("plain:2"), "8")
            self.b.ask("DEL", "plain:2")
            self.assertIsNone(other.get("plain:2"))

    # ---- what it costs

    def test_commands_of_redis(self):
        """docs/shared-tier.md has these figures: per hit none, per miss two, per write one."""
        quiet = self.count(lambda: time.sleep(1))
        for node in self.nodes:
            node.fetch("cherry")
        hits = self.count(lambda: [self.a.fetch("cherry") for _ in range(200)])
        misses = self.count(lambda: [self.a.ask("FB.FETCH", "slow", "rounds", n) for n in range(1, 201)])
        taken = self.count(lambda: [self.b.ask("FB.FETCH", "slow", "rounds", n) for n in range(1, 201)])
        sets = self.count(lambda: [self.a.ask("SET", f"cost:{n}", "x") for n in range(200)])
        drops = self.count(lambda: [self.a.ask("FB.INVALIDATE", "KEY", f"cost:{n}") for n in range(200)])
        tags = self.count(lambda: [self.a.ask("FB.INVALIDATE", "TAG", "cost") for n in range(200)])
        print(f"\ncommands of Redis: idle {quiet:.1f} a second and three nodes; a hit {hits / 200:.2f}, "
              f"a miss {misses / 200:.2f}, a hit in Redis {taken / 200:.2f}, SET {sets / 200:.2f}, "
              f"INVALIDATE KEY {drops / 200:.2f}, TAG {tags / 200:.2f}")
        spare = 40  # what the followers ask meanwhile, two or three a second
        self.assertLess(hits, spare)
        self.assertLess(abs(misses - 400), spare)
        self.assertLess(abs(taken - 200), spare)
        self.assertLess(abs(sets - 200), spare)
        self.assertLess(abs(drops - 200), spare)
        self.assertLess(abs(tags - 200), spare)

    def count(self, work):
        """Commands that clients sent while `work` ran: not those that scripts call, nor ours."""
        sent = ("evalsha", "eval", "script", "get", "set", "del", "ping", "hello", "publish", "subscribe")
        before = self.redis.commands()
        work()
        after = self.redis.commands()
        return sum(after.get(name, 0) - before.get(name, 0) for name in sent if name.startswith(("eval", "script")))

    # ---- what is said

    def test_the_monitoring_routes_say_how_it_stands(self):
        self.a.wait_coherent()
        status = self.a.get_json("/cache/status")
        self.assertEqual(status["cache_backends"]["redis_cache"], "connected")
        self.assertEqual(status["current_mode"], "dual")
        health = self.a.get_json("/healthz")
        self.assertEqual((health["status"], health["mode"]), ("ok", "dual"))
        self.assertIn(b"forebay_shared_up 1\n", self.a.http("GET", "/metrics")[2])
        info = self.redis.client().info("server")
        server = f"valkey {info['valkey_version']}" if "valkey_version" in info else f"redis {info['redis_version']}"
        self.assertEqual(self.a.shared()["server"], server)


@unittest.skipUnless(HAS_REDIS, "no redis-server here")
class Servers(TestCase):
    """The ways to a Redis."""

    def check_pair(self, stage, url, arguments=()):
        one, other = stage.nodes(url, 2, arguments=(*PATIENT, *arguments))
        one.ask("SET", "word", "here")
        self.assertEqual(other.ask("GET", "word"), "here")
        self.assertEqual(json.loads(one.fetch("apple")), json.loads(other.fetch("apple")))
        self.assertEqual(one.stats("fruit")["loads"] + other.stats("fruit")["loads"], 1)
        other.ask("FB.INVALIDATE", "WAIT", "REDIS", "KEY", "word")
        until(lambda: one.ask("GET", "word") is None, "an invalidation", 20)
        return one, other

    def test_a_unix_socket(self):
        with Stage() as stage:
            self.check_pair(stage, f"unix://{stage.redis().path}")

    def test_a_password_in_the_url_and_in_the_environment_is_shown_nowhere(self):
        with Stage() as stage:
            server = stage.redis(password="open-sesame")
            self.check_pair(stage, server.url)
            node = stage.node(f"redis://127.0.0.1:{server.port}", env={"REDIS_PASSWORD": "open-sesame"},
                              arguments=PATIENT)
            for one in stage.forebays:
                shown = [str(one.shared()), "\n".join(one.log.lines), str(one.ask("CONFIG", "GET", "*"))]
                shown += [str(one.http("GET", path)[2]) for path in ("/healthz", "/v1/stats", "/metrics")]
                self.assertNotIn("open-sesame", "".join(shown))
            self.assertEqual(node.ask("GET", "word"), None)

    def test_a_user_of_an_access_list(self):
        with Stage() as stage:
            server = stage.redis()
            server.ask("ACL", "SETUSER", "forebay", "on", ">secret", "~*", "&*", "+@all")
            self.check_pair(stage, f"redis://forebay:secret@127.0.0.1:{server.port}")

    def test_tls_by_a_certificate_that_is_checked(self):
        with Stage() as stage:
            server = stage.redis(tls=True)
            arguments = ("--set", f"redis.tls.ca={server.cert}")
            self.check_pair(stage, f"rediss://127.0.0.1:{server.tls_port}", arguments=arguments)
            stranger = stage.node(f"rediss://127.0.0.1:{server.tls_port}", wait=False, arguments=PATIENT)
            stranger.until(lambda: "certificate" in stranger.wait_away()["why"], "a word of the certificate")
            self.assertEqual(stranger.ask("PING"), True)

    def test_a_database_by_number(self):
        with Stage() as stage:
            server = stage.redis()
            self.check_pair(stage, server.url + "/3")
            with server.client(db=0) as zero, server.client(db=3) as three:
                self.assertEqual(zero.dbsize(), 0)
                self.assertGreater(three.dbsize(), 0)

    def test_two_namespaces_in_one_redis_do_not_meet(self):
        with Stage() as stage:
            server = stage.redis()
            one, other = (stage.node(server.url, name, arguments=PATIENT) for name in ("shop", "other"))
            one.ask("SET", "word", "mine")
            self.assertIsNone(other.ask("GET", "word"))
            other.ask("FB.INVALIDATE", "WAIT", "REDIS", "ALL")
            self.assertEqual(one.ask("GET", "word"), "mine")

    def test_behind_sentinels(self):
        with Stage() as stage:
            self.check_pair(stage, stage.sentinels(down_ms=CALM_MS).url)

    def test_a_cluster(self):
        with Stage() as stage:
            one, other = self.check_pair(stage, stage.cluster(timeout_ms=CALM_MS).url)
            for number in range(300):
                one.ask("SET", f"spread:{number}", number)
            self.assertEqual(other.ask("MGET", *(f"spread:{number}" for number in range(300))),
                             [str(number) for number in range(300)])

    def test_where_it_is_wrong_it_is_said(self):
        with Stage() as stage:
            file = stage.folder / "wrong.yaml"
            file.write_text("redis: {url: 'ftp://127.0.0.1'}\n")
            done = run("check", str(file))
            self.assertEqual(done.returncode, 2, done)
            self.assertIn("redis", done.stdout + done.stderr)

    def test_a_node_that_comes_later_finds_what_is_there(self):
        with Stage() as stage:
            server = stage.redis()
            first = stage.node(server.url, arguments=PATIENT)
            first.ask("SET", "word", "early")
            first.fetch("apple")
            until(lambda: server.ask("KEYS", "*:v:fruit:apple"), "what callers do not wait for", 20)
            late = stage.node(server.url, arguments=PATIENT)
            self.assertEqual(late.ask("GET", "word"), "early")
            late.fetch("apple")
            self.assertEqual(late.stats("fruit")["loads"], 0)

    def test_a_node_that_restarts_finds_its_cache_in_redis(self):
        with Stage() as stage:
            server = stage.redis()
            node = stage.node(server.url, arguments=PATIENT)
            node.fetch("apple")
            until(lambda: server.ask("KEYS", "*:v:fruit:apple"), "what callers do not wait for", 20)
            node.kill()
            node.start().wait_coherent()
            node.fetch("apple")
            self.assertEqual(node.stats("fruit")["loads"], 0)


if __name__ == "__main__":
    main()
