#!/usr/bin/python3
"""CLIENT TRACKING from outside: clients that keep what they read until they are told, writers by RESP, HTTP
and another node over a real Redis. When all is quiet, no near cache holds anything but what there is."""

import itertools
import random
import socket
import threading
import unittest

import redis

from forebay import CONFIG, PATIENCE, Server, TestCase, command, main
from shared import HAS_REDIS, Stage, until

KEYS = [f"near:{number}" for number in range(40)]
ROUNDS = 300
# No request and no connection to Redis is given up because the machine is busy.
PATIENT = ("--set", "redis.hard_timeout=20s", "--set", "redis.connect_timeout=20s")


class NearCache:
    """A connection in RESP3 that tracks, and what it keeps."""

    def __init__(self, server, *options):
        self.socket = socket.create_connection(("127.0.0.1", server.resp_port), PATIENCE)
        self.file = self.socket.makefile("rb")
        self.kept, self.notices, self.flushes = {}, 0, 0
        self.ask("HELLO", "3")
        assert self.ask("CLIENT", "TRACKING", "ON", *options) == b"OK"

    def close(self):
        self.file.close()
        self.socket.close()

    def read(self):
        """One value, as (kind, value)."""
        line = self.file.readline()
        assert line.endswith(b"\r\n"), line
        kind, rest = line[:1], line[1:-2]
        if kind == b"$":
            body = self.file.read(int(rest) + 2)
            return kind, body[:-2]
        if kind in b"*>~%":
            return kind, [self.read()[1] for _ in range(int(rest) * (2 if kind == b"%" else 1))]
        if kind == b":":
            return kind, int(rest)
        return kind, None if kind == b"_" else rest

    def hear(self, message):
        if message[0] != b"invalidate":
            return
        if message[1] is None:
            self.flushes += 1
            self.kept.clear()
            return
        for key in message[1]:
            self.notices += 1
            self.kept.pop(key.decode(), None)

    def reply(self):
        while True:
            kind, value = self.read()
            if kind != b">":
                return value
            self.hear(value)

    def ask(self, *words):
        self.socket.sendall(command(*words))
        return self.reply()

    def get(self, key):
        if key not in self.kept:
            value = self.ask("GET", key)
            self.kept[key] = value and value.decode()
        return self.kept[key]

    def fetch(self, name):
        key = f"fruit:{name}"
        if key not in self.kept:
            self.kept[key] = self.ask("FB.FETCH", "fruit", "name", name).decode()
        return self.kept[key]

    def listen(self):
        """Hears what has been said so far."""
        self.ask("PING")


def differences(near, truth):
    near.listen()
    return {key: (value, truth(key)) for key, value in near.kept.items() if value != truth(key)}


class Near(TestCase):
    def caches(self, server, count, *options):
        made = [NearCache(server, *options) for _ in range(count)]
        for one in made:
            self.addCleanup(one.close)
        return made

    def run_all(self, *functions):
        """Each on a thread; the first failure is the test's."""
        failures = []

        def guard(function):
            try:
                function()
            except BaseException as error:  # told below
                failures.append(error)
        threads = [threading.Thread(target=guard, args=(function,)) for function in functions]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failures:
            raise failures[0]

    def read_much(self, near, seed):
        rng = random.Random(seed)
        for _ in range(ROUNDS * 3):
            near.get(rng.choice(KEYS))

    def write_resp(self, server, seed):
        rng = random.Random(seed)
        with server.redis() as client:
            for number in range(ROUNDS):
                key = rng.choice(KEYS)
                rng.choice([lambda: client.set(key, f"r{seed}.{number}"), lambda: client.delete(key),
                            lambda: client.append(key, "+"), lambda: client.mset({key: "m", KEYS[0]: "0"}),
                            lambda: client.execute_command("FB.INVALIDATE", "KEY", key)])()

    def write_http(self, server, seed):
        rng = random.Random(seed)
        for number in range(ROUNDS // 4):
            key = rng.choice(KEYS)
            if rng.random() < 0.8:
                status, _, body = server.http("PUT", f"/v1/keys/{key}", f"h{seed}.{number}")
            else:
                status, _, body = server.http("DELETE", f"/v1/keys/{key}")
            self.assertIn(status, (200, 201, 204, 404), body)

    def check(self, caches, server):
        with server.redis() as client:
            for near in caches:
                until(lambda near=near: not differences(near, client.get), "a near cache that is right")
        self.assertTrue(any(near.notices for near in caches))

    def test_one_node(self):
        seed = random.randrange(1 << 30)
        with self.subTest(seed=seed), Server(arguments=("--set", "loops=2", "--set", "listen.loop_clients=0")) \
                as server:
            caches = self.caches(server, 3) + self.caches(server, 1, "NOLOOP") + \
                self.caches(server, 1, "BCAST", "PREFIX", "near:")
            self.run_all(*[lambda near=near, i=i: self.read_much(near, seed + i) for i, near in enumerate(caches)],
                         *[lambda i=i: self.write_resp(server, seed + 10 + i) for i in range(2)],
                         lambda: self.write_http(server, seed + 20))
            self.check(caches, server)
            for near in caches:
                self.assertEqual(near.ask("CLIENT", "TRACKING", "OFF"), b"OK")
            with server.redis() as client:
                info = client.info("stats")
                self.assertEqual(info["tracking_total_keys"], 0)
                self.assertEqual(client.info("clients")["tracking_clients"], 0)

    def test_loaded_values(self):
        with Server() as server, server.redis() as client:
            near, = self.caches(server, 1)
            for change in (["KEY", "fruit:plum"], ["TAG", "colour:blue"], ["CLASS", "fruit"],
                           ["PATTERN", "fruit:*"], ["ALL"]):
                near.fetch("plum")
                near.listen()
                self.assertIn("fruit:plum", near.kept)  # its own load was no change
                client.execute_command("FB.INVALIDATE", *change)
                until(lambda: near.listen() or "fruit:plum" not in near.kept, change)

    def test_many_in_transactions_lose_no_update(self):
        with Server(arguments=("--set", "loops=3", "--set", "listen.loop_clients=0")) as server:
            def count():
                with server.redis() as client:
                    for _ in range(40):
                        client.transaction(lambda pipe: (
                            lambda value: (pipe.multi(), pipe.set("number", value + 1)))(
                                int(pipe.get("number") or 0)), "number")
            self.run_all(*[count] * 8)
            with server.redis() as client:
                self.assertEqual(client.get("number"), "320")

    def test_killed_from_elsewhere(self):
        with Server(CONFIG + "queues: {work: {}}\n",
                    arguments=("--set", "loops=2", "--set", "listen.loop_clients=0")) as server, \
                server.redis(single_connection_client=True) as client:
            clients = [server.redis(single_connection_client=True) for _ in range(6)]
            ids = [one.client_id() for one in clients]
            self.assertEqual(client.client_kill_filter(_id=ids[0]), 1)
            self.assertEqual(client.client_kill_filter(_id=ids[0] + 10**9), 0)
            until(lambda: ids[0] not in {int(one["id"]) for one in client.client_list()}, "its end")
            blocked = server.socket()
            blocked.sendall(command("CLIENT", "ID") + command("FB.RESERVE", "work", "BLOCK", "0"))
            line = blocked.recv(64)
            until(lambda: client.client_unblock(int(line[1:].split(b"\r\n")[0]), error=True), "one that waits")
            self.assertIn(b"-UNBLOCKED", blocked.recv(64))
            blocked.close()
            self.assertEqual(client.client_kill_filter(skipme=True, _type="normal") >= 5, True)
            until(lambda: len(client.client_list()) == 1, "to be alone")
            for one in clients:
                one.connection_pool.disconnect()


@unittest.skipUnless(HAS_REDIS, "no redis-server here")
class NearOverRedis(Near):
    test_one_node = test_loaded_values = test_killed_from_elsewhere = None
    test_many_in_transactions_lose_no_update = None

    def test_two_nodes(self):
        seed = random.randrange(1 << 30)
        with self.subTest(seed=seed), Stage() as stage:
            server = stage.redis()
            nodes = stage.nodes(server.url, 2, loops=2, arguments=PATIENT)
            caches = [near for node in nodes for near in self.caches(node, 2)]
            self.run_all(*[lambda near=near, i=i: self.read_much(near, seed + i) for i, near in enumerate(caches)],
                         *[lambda i=i, node=node: self.write_resp(node, seed + 10 + i)
                           for i, node in enumerate(nodes)],
                         lambda: self.write_http(nodes[1], seed + 20))
            for key in KEYS:  # what both nodes agree on is what the shared tier has
                until(lambda key=key: nodes[0].ask("GET", key) == nodes[1].ask("GET", key), key)
            for node, near in zip(nodes, (caches[:2], caches[2:])):
                self.check(near, node)

    def test_a_value_of_the_shared_tier_stays_until_it_changes(self):
        with Stage() as stage:
            a, b = stage.nodes(stage.redis().url, 2, arguments=PATIENT)
            near, = self.caches(a, 1)
            numbers = itertools.count()

            def comes_and_stays():
                """That it comes into memory is no change. Where `a` learns of b's SET only after it has read
                what was set, it tells of that; so each time it is another key."""
                key = f"near:{next(numbers)}"
                b.ask("SET", key, "first")
                near.kept[key] = near.ask("GET", key)
                near.listen()
                return near.kept.get(key) == b"first" and key
            key = until(comes_and_stays, "a value that stays")
            b.ask("SET", key, "second")
            until(lambda: near.listen() or key not in near.kept, "the notice")
            self.assertEqual(until(lambda: near.get(key) == "second" or near.kept.clear(), "it"), True)

    def test_nothing_is_kept_while_the_shared_tier_is_away(self):
        with Stage() as stage:
            server = stage.redis()
            node = stage.node(server.url)
            near, = self.caches(node, 1)
            node.ask("SET", "near:1", "one")
            near.get("near:1")
            server.kill()
            until(lambda: near.listen() or near.flushes, "to be told that nothing is sure")
            self.assertEqual(near.kept, {})
            before = near.flushes
            near.get("near:1")
            until(lambda: near.listen() or near.flushes > before, "to be told again")
            server.start()
            node.wait_coherent()
            until(lambda: near.ask("GET", "near:2") is None and (near.listen() or True) and
                  near.ask("CLIENT", "TRACKINGINFO"), "it to go on")


if __name__ == "__main__":
    main()
