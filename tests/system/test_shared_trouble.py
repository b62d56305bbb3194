#!/usr/bin/python3
"""Everything that can be wrong with the shared tier, one by one, with real servers under load: every
request is answered in time, one warning is given, health says why, it heals by itself, and nothing
old is read afterwards."""

import json
import random
import re
import socketserver
import statistics
import threading
import time
import unittest

import redis

from forebay import PATIENCE, TestCase, main
from shared import HAS_REDIS, Namespace, Redis, Stage, until

# The longest that a request of the load may take: the hard time-out of its class.
DEADLINE = 10


class Load:
    """Requests to nodes, one after another on two connections each, until the end of a `with`."""

    def __init__(self, nodes):
        self.times, self.errors, self.lock = [], [], threading.Lock()
        self.ended = threading.Event()
        self.threads = [threading.Thread(target=self.run, args=(node, seed), daemon=True)
                        for node in nodes for seed in range(2)]

    def run(self, node, seed):
        chance = random.Random(seed)
        with node.redis(socket_timeout=PATIENCE) as client:
            while not self.ended.is_set():
                words = chance.choice((
                    ("FB.FETCH", "fruit", "name", chance.choice(("apple", "lemon", "plum", "nobody"))),
                    ("FB.FETCH", "slow", "rounds", chance.randrange(1, 500)),
                    ("SET", f"counted:{chance.randrange(100)}", seed),
                    ("GET", f"counted:{chance.randrange(100)}"),
                    ("INCR", f"number:{chance.randrange(10)}"),
                    ("DEL", f"counted:{chance.randrange(100)}"),
                    ("FB.INVALIDATE", "TAG", f"load:{chance.randrange(9)}")))
                began = time.monotonic()
                try:
                    client.execute_command(*words)
                except redis.RedisError as error:
                    # Whether a number was added to, nobody knows where the link broke just then.
                    if words[0] != "INCR" or "TIMEOUT" not in str(error):
                        self.errors.append((words, error))
                self.times.append(time.monotonic() - began)
                time.sleep(0.001)

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        for thread in self.threads:
            thread.join(PATIENCE)


class HttpServer(socketserver.ThreadingTCPServer):
    """Answers everything as an HTTP server does that does not understand."""
    allow_reuse_address = True
    daemon_threads = True

    class Handler(socketserver.BaseRequestHandler):
        def handle(self):
            self.request.recv(4096)
            self.request.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")

    def __init__(self, port):
        super().__init__(("127.0.0.1", port), self.Handler)
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    def close(self):
        self.shutdown()
        self.server_close()


@unittest.skipUnless(HAS_REDIS, "no redis-server here")
class Trouble(TestCase):
    def setUp(self):
        self.stage = Stage().__enter__()
        self.addCleanup(lambda: self.stage.__exit__(None))
        self.price = 100

    # ---- what holds for each

    def check_answers_alone(self, node):
        """Memory and source do without it, and what is written is in force here."""
        self.price += 1
        self.stage.write("UPDATE fruit SET price = ? WHERE name = 'cherry'", self.price)
        node.ask("FB.INVALIDATE", "KEY", "fruit:cherry")
        self.assertEqual(json.loads(node.fetch("cherry"))["price"], self.price)
        self.assertEqual(node.ask("SET", f"alone:{node.resp_port}", self.price), True)
        self.assertEqual(node.ask("GET", f"alone:{node.resp_port}"), str(self.price))
        with self.assertRaisesRegex(redis.ResponseError, "NOTREACHED"):
            node.ask("FB.INVALIDATE", "WAIT", "REDIS", "KEY", "fruit:cherry", f"alone:{node.resp_port}")
        self.assertIsNone(node.ask("GET", f"alone:{node.resp_port}"))

    def check_says(self, node, why):
        # Where all stood still for a while it may first say that it was not answered in time.
        node.until(lambda: re.search(why, node.get_json("/healthz")["reason"]), why)
        for left in (2, 1, 0):  # and an answer that was too late may once seem to be in time
            node.wait_away()
            try:
                self.check_says_now(node, why)
                break
            except AssertionError:
                if left == 0:
                    raise

    def check_says_now(self, node, why):
        health = node.get_json("/healthz")
        self.assertEqual((health["status"], health["mode"]), ("degraded", "fallback"), health)
        self.assertRegex(health["reason"], f"Using in-memory fallback.*({why})")
        self.assertEqual(node.http("GET", "/readyz")[0], 200)
        status = node.get_json("/cache/status")
        self.assertEqual((status["cache_backends"]["redis_cache"], status["current_mode"]),
                         ("unreachable", "fallback"))
        self.assertIn(b"forebay_shared_up 0\n", node.http("GET", "/metrics")[2])
        advice = node.get_json("/analytics/dashboard")["analytics"]["optimization_recommendations"]
        self.assertTrue(any("hared tier: away" in text for text in advice), advice)

    def check_warned(self, node, times=1):
        warnings = node.events("shared_tier_away")
        # On a busy machine an answer may be too late once more: a few words for a trouble, no flood.
        self.assertGreaterEqual(len(warnings), times, warnings)
        self.assertLessEqual(len(warnings), 3 * times + 2, warnings)
        for warning in warnings:
            self.assertEqual(warning["level"], "warn")
            self.assertIn("Using in-memory fallback", warning["why"])

    def check_healed(self, nodes, times=1):
        """In step again, and what was changed meanwhile is known to all."""
        for node in nodes:
            node.wait_coherent()
        for node in nodes:
            # What was told last is heard by the others a moment later.
            until(lambda node=node: json.loads(node.fetch("cherry"))["price"] == self.price, "the row", 20)
            node.until(lambda node=node: node.get_json("/healthz")["status"] == "ok", "that all is well")
            until(lambda node=node: len(node.events("shared_tier_back")) ==
                  len(node.events("shared_tier_away")) >= times, "a word that it is back")
            until(lambda node=node: node.shared()["owed_now"] == 0, "all that was owed told")
        self.price += 1
        self.stage.write("UPDATE fruit SET price = ? WHERE name = 'cherry'", self.price)
        self.reach(nodes[0])
        for node in nodes:
            until(lambda node=node: json.loads(node.fetch("cherry"))["price"] == self.price, "a change", 20)

    def reach(self, node):
        """An invalidation that has reached Redis, which may be slow for a moment."""
        until(lambda: node.ask("FB.INVALIDATE", "WAIT", "REDIS", "KEY", "fruit:cherry"), "a Redis reached")

    def check_load(self, load):
        self.assertFalse(any(thread.is_alive() for thread in load.threads), "a request without an answer")
        self.assertEqual(load.errors, [])
        self.assertGreater(len(load.times), 100)
        self.assertLess(max(load.times), DEADLINE)
        self.assertLess(statistics.median(load.times), 0.05)

    def go_through(self, nodes, begin, end, why, lasts=1.5):
        """One trouble from its beginning to its end."""
        for node in nodes:
            node.fetch("cherry")
        with Load(nodes) as load:
            time.sleep(0.3)
            begin()
            for node in nodes:
                node.wait_away()
            for node in nodes:
                self.check_answers_alone(node)
            time.sleep(lasts)  # in trouble for a while
            for node in nodes:
                self.check_says(node, why)
                self.check_answers_alone(node)
            end()
            self.check_healed(nodes)
        self.check_load(load)
        for node in nodes:
            self.check_warned(node)

    # ---- the troubles

    def test_away_at_start(self):
        server = Redis(self.stage.folder)
        self.stage.servers.append(server)
        nodes = [self.stage.node(server.url, wait=False) for _ in range(2)]
        self.go_through(nodes, lambda: None, server.start, "refused")

    def test_killed_under_load_and_restarted_empty(self):
        server = self.stage.redis()
        self.go_through(self.stage.nodes(server.url, 2), server.kill, server.start, "closed|refused|reset")

    def test_killed_and_restarted_with_what_it_had(self):
        server = self.stage.redis(lines="appendonly yes\nappendfsync always\n")
        self.go_through(self.stage.nodes(server.url, 2), server.kill, server.start, "closed|refused|reset")

    def test_hung(self):
        server = self.stage.redis()
        self.go_through(self.stage.nodes(server.url, 2), server.hang, server.go_on,
                        "no answer|in time|slow|too late")

    def test_hung_while_keys_are_looked_for_by_a_pattern(self):
        server = self.stage.redis()
        node = self.stage.node(server.url)
        self.assertTrue(node.ask("SET", "kept", "x"))
        server.hang()
        begun = time.monotonic()
        node.ask("FB.INVALIDATE", "PATTERN", "k*")
        self.assertLess(time.monotonic() - begun, 15)  # it would look for them for 30 s
        server.go_on()
        until(lambda: not server.ask("KEYS", "*:v:kept"), "what was owed")

    def test_slow(self):
        proxy = self.stage.proxy(self.stage.redis())

        def slow_down(seconds):
            proxy.delay = seconds
        self.go_through(self.stage.nodes(proxy.url, 2), lambda: slow_down(0.5), lambda: slow_down(0),
                        "no answer|in time|slow|too late")

    def test_full(self):
        server = self.stage.redis(lines="maxmemory-policy noeviction\n")
        self.go_through(self.stage.nodes(server.url, 2),
                        lambda: server.ask("CONFIG", "SET", "maxmemory", 1),
                        lambda: server.ask("CONFIG", "SET", "maxmemory", 0), "OOM|memory")

    def test_a_read_only_replica(self):
        server, other = self.stage.redis(), self.stage.redis()
        self.go_through(self.stage.nodes(server.url, 2),
                        lambda: server.ask("REPLICAOF", "127.0.0.1", other.port),
                        lambda: server.ask("REPLICAOF", "NO", "ONE"), "READONLY|replica|read.only")

    def test_a_wrong_password(self):
        server = self.stage.redis()
        url = f"redis://:open-sesame@127.0.0.1:{server.port}"
        server.ask("CONFIG", "SET", "requirepass", "other")
        server.password = "other"
        nodes = [self.stage.node(url, wait=False) for _ in range(2)]

        def let_in():
            server.ask("CONFIG", "SET", "requirepass", "open-sesame")
            server.password = "open-sesame"
        self.go_through(nodes, lambda: None, let_in, "WRONGPASS|password")
        for node in nodes:
            self.assertNotIn("open-sesame", "".join(node.log.lines))

    def test_another_protocol(self):
        server = Redis(self.stage.folder)
        self.stage.servers.append(server)
        http = HttpServer(server.port)
        nodes = [self.stage.node(server.url, wait=False) for _ in range(2)]

        def replace():
            http.close()
            server.start()
        self.go_through(nodes, lambda: None, replace, "HTTP|not Redis|protocol")

    def test_cut_off_from_one_node_alone(self):
        server = self.stage.redis()
        link = self.stage.proxy(server)
        near, far = self.stage.node(server.url), self.stage.node(link.url)
        for node in (near, far):
            node.ask("SET", "bypass:1", "old")
            node.ask("SET", "capped:1", "old")
        until(lambda: far.ask("GET", "bypass:1") == "old", "a value")
        until(lambda: near.ask("GET", "bypass:1") == "old", "a value")
        far.fetch("lemon")
        with Load((near, far)) as load:
            link.cut()
            far.wait_away()
            self.assertTrue(near.is_coherent() or until(near.is_coherent, "the other node in step"))
            near.ask("SET", "bypass:1", "new")
            near.ask("SET", "capped:1", "new")
            # After max_lag the far node knows that it may have missed something.
            until(lambda: far.shared()["degraded"] == 64, "a node that says it is degraded")
            self.assertIsNone(far.ask("GET", "bypass:1"))
            until(lambda: far.ask("GET", "capped:1") is None, "the end of degraded_ttl", 20)
            self.check_says(far, "no answer|in time|slow|too late")
            self.check_answers_alone(far)
            near.until(lambda: near.get_json("/healthz")["status"] == "ok", "the other node to be well")
            link.heal()
            self.check_healed((far,))

            def seen():
                values = [node.ask("GET", key) for node in (near, far) for key in ("bypass:1", "capped:1")]
                self.assertNotIn("old", values)
                return values
            until(lambda: seen() == ["new"] * 4, "what the other node has")
            until(lambda: json.loads(near.fetch("cherry"))["price"] == self.price, "what the far node changed", 20)
        self.check_load(load)
        self.check_warned(near, 0)
        self.check_warned(far)

    def test_a_cable_cut(self):
        if not Namespace.possible():
            self.skipTest("no network namespaces for us here")
        space = Namespace()
        self.addCleanup(space.close)
        server = self.stage.redis(lines=f"bind 127.0.0.1 {space.here}\n")
        near = self.stage.node(server.url)
        far = self.stage.node(f"redis://{space.here}:{server.port}", space=space)
        with Load((near, far)) as load:
            for times in range(1, 4):
                for node in (near, far):
                    node.fetch("cherry")
                space.cut()
                far.wait_away()
                self.price += 1
                self.stage.write("UPDATE fruit SET price = ? WHERE name = 'cherry'", self.price)
                self.reach(near)
                until(lambda: far.shared()["degraded"] == 64, "a node that says it is degraded")
                self.check_answers_alone(far)
                until(lambda times=times: len(far.events("shared_tier_away")) >= times, "a warning")
                space.heal()
                self.check_nodes_agree((near, far))
        self.check_load(load)
        self.check_warned(near, 0)
        self.check_warned(far, 3)

    def test_failed_over_to_a_replica_that_lacks_the_last_changes(self):
        master, replica = self.stage.redis(), self.stage.redis()
        replica.ask("REPLICAOF", "127.0.0.1", master.port)
        until(lambda: replica.client().info("replication")["master_link_status"] == "up", "a replica")
        link = self.stage.proxy(master)
        nodes = self.stage.nodes(link.url, 2, arguments=("--set", "redis.hard_timeout=20s"))
        for node in nodes:
            node.fetch("cherry")
        until(lambda: master.client().wait(1, 1000) == 1, "all replicated")
        replica.ask("REPLICAOF", "NO", "ONE")  # from here on it hears of nothing
        self.price += 1
        self.stage.write("UPDATE fruit SET price = ? WHERE name = 'cherry'", self.price)
        nodes[0].ask("FB.INVALIDATE", "WAIT", "REDIS", "KEY", "fruit:cherry")
        # It goes on from there with another history, of the same length.
        stranger = self.stage.node(replica.url, arguments=("--set", "redis.hard_timeout=20s"))
        stranger.ask("FB.INVALIDATE", "WAIT", "REDIS", "KEY", "fruit:cherry")
        link.target = replica.port
        master.kill()
        link.reset()
        for node in nodes:
            until(lambda node=node: node.shared()["flushes"] > 0, "a node that knows")
        self.price += 1
        self.stage.write("UPDATE fruit SET price = ? WHERE name = 'cherry'", self.price)
        nodes[1].ask("FB.INVALIDATE", "KEY", "fruit:cherry")
        self.check_nodes_agree([*nodes, stranger])

    def check_nodes_agree(self, nodes):
        for node in nodes:
            node.wait_coherent()
            until(lambda node=node: json.loads(node.fetch("cherry"))["price"] == self.price, "the row", 20)

    def test_emptied(self):
        server = self.stage.redis()
        nodes = self.stage.nodes(server.url, 2)
        with Load(nodes) as load:
            for _ in range(5):
                for node in nodes:
                    node.fetch("cherry")
                self.price += 1
                self.stage.write("UPDATE fruit SET price = ? WHERE name = 'cherry'", self.price)
                server.ask("FLUSHALL")
                nodes[0].ask("FB.INVALIDATE", "KEY", "fruit:cherry")
                self.check_nodes_agree(nodes)
        self.check_load(load)

    def test_its_connections_killed(self):
        server = self.stage.redis()
        nodes = self.stage.nodes(server.url, 2)
        with Load(nodes) as load:
            for _ in range(10):
                for node in nodes:
                    node.fetch("cherry")
                self.price += 1
                self.stage.write("UPDATE fruit SET price = ? WHERE name = 'cherry'", self.price)
                for kind in ("pubsub", "normal"):
                    with server.client() as client:
                        client.execute_command("CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes")
                nodes[0].ask("FB.INVALIDATE", "KEY", "fruit:cherry")
                self.check_nodes_agree(nodes)
        self.check_load(load)

    def test_an_eviction_policy_that_drops_metadata_is_said(self):
        server = self.stage.redis(lines="maxmemory 50mb\nmaxmemory-policy allkeys-lru\n")
        node = self.stage.node(server.url)
        node.until(lambda: any("policy" in text for text in node.shared()["unfit"]), "a word of the policy")
        server.ask("CONFIG", "SET", "maxmemory-policy", "volatile-ttl")

    def test_many_outages_in_a_row(self):
        server = self.stage.redis()
        nodes = self.stage.nodes(server.url, 2)
        for node in nodes:
            node.fetch("cherry")
        with Load(nodes) as load:
            for times in range(1, 4):
                server.kill()
                for node in nodes:
                    node.wait_away()
                    self.check_answers_alone(node)
                    # What is over within a moment is not worth a warning.
                    until(lambda node=node: len(node.events("shared_tier_away")) >= times, "a warning")
                server.start()
                self.check_healed(nodes, times)
        self.check_load(load)
        for node in nodes:
            self.check_warned(node, 3)


if __name__ == "__main__":
    main()
