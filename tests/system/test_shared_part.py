#!/usr/bin/python3
"""A Cluster that lacks a master: what the others have stays shared, what that one had is each node's own,
everybody says so, and all is told when a replica takes over."""

import json
import unittest

import redis

from forebay import TestCase, main
from shared import HAS_REDIS, Stage, until

# Long enough that nobody is elected before the test says so.
NODE_TIMEOUT_MS = 600_000
KEYS = 60
PATIENT = ("--set", "redis.hard_timeout=20s")


@unittest.skipUnless(HAS_REDIS, "no redis-server here")
class Part(TestCase):
    def setUp(self):
        self.stage = Stage().__enter__()
        self.addCleanup(self.leave)
        self.cluster = self.stage.cluster(timeout_ms=NODE_TIMEOUT_MS)
        self.nodes = self.stage.nodes(self.cluster.url, 2, arguments=PATIENT)
        self.a, self.b = self.nodes
        self.price = 10

    def leave(self):
        for server in self.cluster.servers:
            if server.process.poll() is None:
                server.go_on()
        self.stage.__exit__(None)

    def sort_out(self):
        """Keys that the victim has, and keys that others have; the victim is no master of the wide log."""
        for number in range(KEYS):
            self.a.ask("SET", f"loose:{number}", "before")
        where, wide = {}, None
        for server, _ in self.cluster.nodes("master"):
            with server.client() as client:
                names = client.keys("*")
            where[server] = sorted(name.rsplit("loose:", 1)[1] for name in names if "loose:" in name)
            wide = server if any(".w}" in name for name in names) else wide
        self.assertIsNotNone(wide)
        victim = next(server for server in where if server is not wide)
        lost = [f"loose:{number}" for number in where.pop(victim)]
        kept = [f"loose:{number}" for numbers in where.values() for number in numbers]
        self.assertTrue(lost and kept, (lost, kept))
        return victim, wide, lost, kept

    def says(self, node, server):
        shared = node.shared()
        return shared["state"] == "catching-up" and f":{server.port}" in shared["why"] and \
            0 < shared["degraded"] < shared["partitions"] and shared

    def replica_of(self, server):
        ids = {one.port: number for one, number in self.cluster.nodes("master")}
        for other in self.cluster.servers:
            if other is not server and other.process.poll() is None:
                role = other.client().role()
                if role[0] == "slave" and role[2] == server.port:
                    return other
        raise AssertionError(f"no replica of {server.port}: {ids}")

    def check_shared(self, keys, word):
        """Changes reach Redis and the other node, in both directions; values are taken from there."""
        for number, key in enumerate(keys):
            one, other = self.nodes[number % 2], self.nodes[1 - number % 2]
            one.ask("SET", key, word)
            until(lambda other=other, key=key: other.ask("GET", key) == word, f"{key} on the other", 60)
            one.ask("FB.INVALIDATE", "WAIT", "REDIS", "KEY", key)
            until(lambda other=other, key=key: other.ask("GET", key) is None, f"{key} gone", 60)
            one.ask("SET", key, word)

    def check_alone(self, keys, word):
        for key in keys:
            self.assertTrue(self.a.ask("SET", key, word))
            self.assertEqual(self.a.ask("GET", key), word)
            with self.assertRaisesRegex(redis.ResponseError, "NOTREACHED"):
                self.b.ask("FB.INVALIDATE", "WAIT", "REDIS", "KEY", key)
            self.assertIsNone(self.b.ask("GET", key))

    def check_wide(self):
        """What hangs on the wide log is in force everywhere."""
        self.price += 1
        self.stage.write("UPDATE fruit SET price = ?", self.price)
        self.a.ask("FB.INVALIDATE", "WAIT", "REDIS", "CLASS", "fruit")
        for name in ("apple", "cherry", "plum", "lemon"):
            for node in self.nodes:
                until(lambda node=node, name=name: json.loads(node.fetch(name))["price"] == self.price,
                      "an invalidation by class", 60)

    def check_health(self, server):
        for node in self.nodes:
            health = node.get_json("/healthz")
            self.assertEqual(health["status"], "degraded", health)
            self.assertIn(f":{server.port}", health["reason"])
            self.assertEqual(node.get_json("/cache/status")["cache_backends"]["redis_cache"], "connected")
            self.assertEqual(node.events("shared_tier_away"), [])

    def check_told(self, keys, word):
        """Both nodes agree on what was owed. A new epoch, where it comes a moment after a value was told,
        costs that value: so not each has to be there, but some."""
        def seen():
            return [[node.ask("GET", key) for node in self.nodes] for key in keys]
        try:
            until(lambda: all(pair in ([word] * 2, [None] * 2) for pair in seen()), "nodes that agree")
        except AssertionError as error:
            raise AssertionError(f"{error} {seen()} {[node.shared() for node in self.nodes]}") from None
        self.assertIn([word] * 2, seen())

    def check_healed(self, lost, word):
        for node in self.nodes:
            node.wait_coherent()
            until(lambda node=node: node.shared()["owed_now"] == 0, "all that was owed told")
        if lost:
            self.check_told(lost, word)
        self.check_shared(lost, "after")
        for node in self.nodes:
            self.assertEqual(node.get_json("/healthz")["status"], "ok")

    def test_a_master_that_is_killed_takes_its_own_keys_along_and_no_others(self):
        victim, _, lost, kept = self.sort_out()
        replica = self.replica_of(victim)
        victim.kill()
        for node in self.nodes:
            until(lambda node=node: self.says(node, victim), "a word of what is away")
        self.check_shared(kept, "meanwhile")
        self.check_wide()
        # The other node tells its drops as well, so what is told last wins: only this one's are values.
        mine = lost[::2]
        self.check_alone(lost[1::2], "alone")
        for key in mine:
            self.a.ask("SET", key, "owed")
        self.check_health(victim)
        self.check_shared(kept, "still")
        replica.ask("CLUSTER", "FAILOVER", "TAKEOVER")
        self.check_healed(mine, "owed")

    def test_a_master_that_comes_back_empty(self):
        victim, _, lost, kept = self.sort_out()
        victim.kill()
        for node in self.nodes:
            until(lambda node=node: self.says(node, victim), "a word of what is away")
        for key in lost:
            self.b.ask("SET", key, "owed")
        self.check_shared(kept[:6], "meanwhile")
        victim.start()
        self.check_healed(lost, "owed")

    def test_a_master_that_hangs_is_passed_by(self):
        victim, _, lost, kept = self.sort_out()
        victim.hang()
        for node in self.nodes:
            until(lambda node=node: self.says(node, victim), "a word of what is away")
        self.check_shared(kept[:6], "meanwhile")
        self.check_alone(lost[:3], "alone")
        victim.go_on()
        self.check_healed([], "")

    def test_without_the_wide_log_all_is_away(self):
        _, wide, _, kept = self.sort_out()
        replica = self.replica_of(wide)
        wide.kill()
        for node in self.nodes:
            node.wait_away()
        self.check_alone(kept[:3], "alone")
        replica.ask("CLUSTER", "FAILOVER", "TAKEOVER")
        self.check_healed([], "")


if __name__ == "__main__":
    main()
