#!/usr/bin/python3
"""Rate limits of several nodes over a real Redis, which is killed, stopped, emptied and failed over
meanwhile: never more than the limit in all, and an answer each time."""

import contextlib
import unittest

from forebay import main
from limits import RULES, Crowd, Limits, pairs, surely, verdict_of
from shared import HAS_REDIS, Stage, until

# Longer than any server is silent: none is replaced but where the test wants it, so nothing it had
# acknowledged is lost.
CALM_MS = 600_000


@unittest.skipUnless(HAS_REDIS, "no redis-server here")
class Together(Limits):
    """Several nodes over one Redis."""

    def stage_of(self, count, **options):
        stage = Stage().__enter__()
        self.addCleanup(lambda: stage.__exit__(None))
        server = stage.redis(**options)
        return server, stage.nodes(server.url, count, more=RULES)

    def check_sum(self, nodes, rule, limit):
        """As many as it says: fewer only where the shared tier was too slow to be believed."""
        crowd = Crowd(nodes, (rule, "sum"), count=60).join()
        self.check_errors(crowd)
        self.assertLessEqual(len(crowd.admitted), limit, rule)
        if crowd.count_of("degraded", 1) == 0:
            self.assertEqual(len(crowd.admitted), limit, rule)
        return crowd

    def test_the_sum_over_two_and_three_nodes_is_the_limit(self):
        _, nodes = self.stage_of(3)
        for some in (nodes[:2], nodes):
            for rule, limit in (("ring", 40), ("parts", 150), ("bucket", 100), ("period", 90)):
                crowd = self.check_sum(some, rule, limit)
                self.assertGreater(crowd.count_of("source", "redis"), 0)
                surely(some[0], "FB.RESET", rule, "sum")
                # Others go on denying for a second at most.
                for node in nodes:
                    until(lambda node=node, rule=rule: verdict_of(node, rule, "sum", "PEEK")["allowed"], "a reset")

    def test_chunks_of_several_nodes_never_make_more_than_the_limit(self):
        _, nodes = self.stage_of(2)
        for rule in ("chunky", "shares"):
            crowd = Crowd(nodes, (rule, "sum"), count=200).join()
            self.check_errors(crowd)
            self.assertLessEqual(len(crowd.admitted), 300)
            self.assertGreater(crowd.count_of("source", "chunk"), 0)

    def test_a_reset_and_an_override_on_one_node_are_seen_by_the_others(self):
        _, (one, other) = self.stage_of(2)

        def wait_for(name, value):
            until(lambda: verdict_of(other, "patient", "eve", "PEEK")[name] == value, f"{name} {value}")
        until(lambda: verdict_of(other, "patient", "eve", "COST", 10)["source"] == "redis", "Redis")
        wait_for("remaining", 0)
        surely(one, "FB.RESET", "patient", "eve")
        wait_for("remaining", 10)
        surely(one, "FB.OVERRIDE", "patient", "eve", "LIMIT", 3, "FOR", 3600000)
        wait_for("limit", 3)
        surely(one, "FB.OVERRIDE", "patient", "eve", "DENY", "FOR", 3600000)
        wait_for("source", "barred")
        surely(one, "FB.OVERRIDE", "patient", "eve", "NONE")
        wait_for("limit", 10)

    def test_leases_over_two_nodes(self):
        _, (one, other) = self.stage_of(2)

        def acquire(node):
            """A token; None where all are taken; "" where Redis did not say."""
            token, verdict = node.ask("FB.SLOT", "ACQUIRE", "lease", "both")
            return token if not pairs(verdict)["degraded"] else ""

        def free(node):
            return pairs(node.ask("FB.SLOT", "SHOW", "lease", "both"))["remaining"]
        until(lambda: free(one) == free(other) == 3, "two nodes that see three")
        tokens = [acquire(node) for node in (one, other, one, other)]
        if "" not in tokens:
            self.assertEqual([token is None for token in tokens], [False] * 3 + [True])
            surely(one, "FB.SLOT", "RELEASE", "lease", "both", tokens[1])
            until(lambda: free(other) == 1, "one that is free")
            until(lambda: acquire(other), "a lease")
            self.assertFalse(acquire(one))

    def test_cl_throttle_over_two_nodes(self):
        _, nodes = self.stage_of(2)
        names = iter(range(1000000))

        def admitted():
            name = f"cell:{next(names)}"
            return sum(nodes[n % 2].ask("CL.THROTTLE", name, 3, 1, 86400)[0] == 0 for n in range(6))
        # More than once only where Redis was slow: each node by itself would let all six through.
        until(lambda: admitted() == 4, "a bucket that both share")

    # ---- trouble

    def go_through(self, nodes, begin, end, rule="closed", key="eve"):
        """Answers all the while: degraded after `begin`, from Redis again after `end`."""
        with Crowd(nodes, (rule, key)) as crowd:
            until(lambda: crowd.count_of("degraded", 0) > 20, "answers")
            begin()
            wanted = crowd.count_of("degraded", 1) + 20
            until(lambda: crowd.count_of("degraded", 1) > wanted, "answers in spite of it")
            end()
            for node in nodes:
                until(lambda node=node: not verdict_of(node, rule, "other", "PEEK")["degraded"], "Redis again")
            wanted = crowd.count_of("degraded", 0) + 20
            until(lambda: crowd.count_of("degraded", 0) > wanted, "answers as before")
        self.check_errors(crowd)
        return crowd

    def test_killed_and_back_empty(self):
        server, nodes = self.stage_of(2)
        crowd = self.go_through(nodes, server.kill, server.start)
        self.assertLessEqual(len(crowd.admitted), 20)  # what was used is forgotten with it

    def test_stopped_and_going_on(self):
        server, nodes = self.stage_of(2)
        for rule, limit in (("closed", 10), ("chunky", 300)):
            crowd = self.go_through(nodes, server.hang, server.go_on, rule)
            # Those that were under way when it stopped may have been counted, and were not allowed.
            self.assertLessEqual(len(crowd.admitted), limit)

    def test_every_answer_comes_while_it_is_stopped(self):
        server, nodes = self.stage_of(2)
        verdict_of(nodes[0], "open", "eve")
        server.hang()
        for rule in ("open", "closed", "local", "hot"):
            crowd = Crowd(nodes, (rule, "eve"), count=5).join()
            self.check_errors(crowd)
            self.assertGreater(crowd.count_of("degraded", 1), 0)
        for node in nodes:
            status, _, answer = node.http("GET", "/v1/limits/check?enforce=1&rule=closed&key=eve")
            self.assertEqual((status, node.http("GET", "/v1/limits/check?enforce=1&rule=open&key=eve")[0]), (429, 200))
            self.assertIn(b"degraded", answer)
        server.go_on()

    def test_what_a_rule_wants_while_redis_is_away(self):
        server, (node, _) = self.stage_of(2)
        until(lambda: verdict_of(node, "local", "eve")["source"] == "redis", "Redis")
        server.kill()
        until(lambda: verdict_of(node, "open", "eve")["degraded"], "that it is away")
        local = [verdict_of(node, "local", "bob") for _ in range(7)]
        self.assertEqual([one["allowed"] for one in local], [1] * 5 + [0] * 2)  # 10 for two instances
        self.assertEqual({one["source"] for one in local}, {"local"})
        for rule, allowed in (("open", 1), ("closed", 0)):
            verdicts = [verdict_of(node, rule, "bob") for _ in range(20)]
            self.assertEqual({(one["allowed"], one["source"], one["degraded"]) for one in verdicts},
                             {(allowed, rule, 1)})
        with node.redis() as client:
            self.assertGreaterEqual(pairs(client.execute_command("FB.RULES", "closed"))["degraded"], 20)

    def test_scripts_flushed_under_load(self):
        server, nodes = self.stage_of(2)
        with Crowd(nodes, ("parts", "flushed"), pause=0) as crowd:
            for _ in range(50):
                server.ask("SCRIPT", "FLUSH")
                seen = crowd.asked
                until(lambda seen=seen: crowd.asked > seen + 4, "answers")
        self.check_errors(crowd)
        self.assertLessEqual(len(crowd.admitted), 150)
        self.assertGreater(crowd.count_of("source", "redis"), 0)

    def test_failed_over_by_sentinels(self):
        with Stage() as stage:
            sentinels = stage.sentinels(down_ms=CALM_MS)
            nodes = stage.nodes(sentinels.url, 2, more=RULES)

            def is_spent():
                verdict = verdict_of(nodes[0], "closed", "eve", "COST", 10)
                return verdict["denied"] and verdict["source"] == "redis"
            until(is_spent, "a limit that is used up")
            master = until(sentinels.master, "a master")
            until(lambda: master.client().wait(1, 1000) == 1, "a replica that has it")
            with Crowd(nodes, ("closed", "eve")) as crowd:
                sentinels.replace(master)
                for node in nodes:
                    until(lambda node=node: verdict_of(node, "closed", "eve")["source"] == "redis", "the new master")
            self.check_errors(crowd)
            self.assertEqual(len(crowd.admitted), 0)  # by the new one's word as well

    def test_a_cluster_that_moves_and_fails_over(self):
        keys = [f"user:{number}" for number in range(6)]
        with Stage() as stage:
            cluster = stage.cluster(timeout_ms=CALM_MS)
            nodes = stage.nodes(cluster.url, 2, more=RULES)
            with contextlib.ExitStack() as stack:
                crowds = [stack.enter_context(Crowd(nodes, ("ring", key), connections=1, pause=0.01)) for key in keys]
                until(lambda: cluster.reshard(200) == 0, "slots that have moved")
                until(cluster.fail_over, "a fail-over")

                def is_spent(node, key):
                    verdict = verdict_of(node, "ring", key, "PEEK")
                    return not verdict["degraded"] and verdict["remaining"] == 0
                for key in keys:
                    for node in nodes:
                        until(lambda node=node, key=key: is_spent(node, key), "a limit that is used up")
            for crowd in crowds:
                self.check_errors(crowd)
                # Fewer where a charge was done and no answer came.
                self.assertLessEqual(len(crowd.admitted), 40)


if __name__ == "__main__":
    main()
