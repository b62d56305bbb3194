#!/usr/bin/python3
"""Rate limits of the built program on one node without a shared tier, over RESP and HTTP."""

import contextlib
import json
import signal

import redis

from forebay import Server, main
from limits import RULES, Asked, Crowd, Limits, pairs, verdict_of
from shared import until


class Alone(Limits):
    """One node without a shared tier."""

    CONFIG = RULES + """
  quick: {limit: 20, window: 1s}
  coarse: {limit: 100, window: 1s}
"""

    @classmethod
    def setUpClass(cls):
        cls.server = Server(cls.CONFIG).__enter__()
        cls.addClassCleanup(lambda: cls.server.__exit__(None, None, None))

    def ask(self, *words):
        return verdict_of(self.server, *words)

    def test_the_four_rules_are_there_from_the_start(self):
        with Server("") as server:
            for name, limit, window in (("generation", 10, 60), ("api", 100, 3600), ("improvement", 20, 3600),
                                        ("auth", 5, 300)):
                with server.redis() as client:
                    rule = pairs(client.execute_command("FB.RULES", name))
                self.assertEqual((rule["limit"], rule["window_ms"]), (limit, window * 1000))
            self.assertEqual(verdict_of(server, "generation", "ada", "TIER", "premium")["limit"], 100)
            for left in range(9, -1, -1):
                verdict = verdict_of(server, "generation", "ada")
                self.assertEqual((verdict["allowed"], verdict["limit"], verdict["source"], verdict["degraded"]),
                                 (1, 10, "memory", 0))
                # On a slow machine what was charged first may be free again.
                self.assertGreaterEqual(verdict["remaining"], left)

    def test_every_answer_says_all(self):
        for left in range(39, -1, -1):
            verdict = self.ask("ring", "says")
            self.assertEqual((verdict["allowed"], verdict["remaining"], verdict["retry_ms"]), (1, left, 0))
        verdict = self.ask("ring", "says")
        self.assertEqual((verdict["allowed"], verdict["denied"], verdict["limit"], verdict["remaining"]),
                         (0, 1, 40, 0))
        self.assertGreater(verdict["retry_ms"], 364 * 86400 * 1000)
        self.assertGreaterEqual(verdict["reset_ms"], verdict["retry_ms"])
        self.assertRegex(verdict["message"], r"^Rate limit exceeded\. Try again in 36[56] days\.$")
        self.assertEqual(self.ask("ring", "another")["remaining"], 39)
        self.assertEqual(self.ask("parts", "says")["remaining"], 149)

    def test_a_window_never_has_more_than_its_limit_also_at_its_edges(self):
        for rule, limit in (("quick", 20), ("coarse", 100)):
            with self.server.redis() as client:
                Asked(client, rule, "edge", "COST", limit)
                until(lambda rule=rule, client=client: Asked(client, rule, "edge", "PEEK", "COST", limit).admitted,
                      "a window that is over")
            # All at once late, and on without a pause.
            with Crowd([self.server], (rule, "edge"), connections=4, pause=0) as crowd:
                # On a slow machine it takes longer until somebody is denied.
                until(lambda crowd=crowd, limit=limit: len(crowd.admitted) > 3 * limit
                      and crowd.count_of("denied", 1) > 0, "four windows")
            self.check_errors(crowd)
            self.check_windows(crowd.admitted, limit, 1)

    def test_costs_peeks_and_refunds(self):
        self.assertEqual(self.ask("bucket", "cost", "COST", 60)["remaining"], 40)
        self.assertEqual(self.ask("bucket", "cost", "PEEK")["remaining"], 40)
        verdict = self.ask("bucket", "cost", "COST", 41)
        self.assertEqual((verdict["allowed"], verdict["remaining"]), (0, 40))
        self.assertGreater(verdict["retry_ms"], 0)
        verdict = self.ask("bucket", "cost", "COST", 101)
        self.assertEqual((verdict["allowed"], verdict["retry_ms"]), (0, -1))
        with self.server.redis() as client:
            self.assertEqual(pairs(client.execute_command("FB.REFUND", "bucket", "cost", "COST", 10))["remaining"], 50)
            client.execute_command("FB.RESET", "bucket", "cost")
        self.assertEqual(self.ask("bucket", "cost", "PEEK")["remaining"], 100)
        self.assertEqual(self.ask("bucket", "cost", "COST", 0)["remaining"], 100)

    def test_several_limits_are_charged_all_or_none(self):
        with self.server.redis() as client:
            client.execute_command("FB.LIMIT", "ring", "both", "COST", 39)
            both = ("FB.LIMITS", 2, "ring", "both", "parts", "both")
            word, *verdicts = client.execute_command(*both)
            self.assertEqual((word, [pairs(one)["remaining"] for one in verdicts]), (1, [0, 149]))
            word, *verdicts = client.execute_command(*both)
            self.assertEqual((word, [pairs(one)["denied"] for one in verdicts]), (0, [1, 0]))
            self.assertEqual(self.ask("parts", "both", "PEEK")["remaining"], 149)
            word, *verdicts = client.execute_command("FB.LIMITS", 2, "parts", "one of two", "ring", "both")
            self.assertEqual((word, [pairs(one)["denied"] for one in verdicts]), (0, [0, 1]))
            self.assertEqual(self.ask("parts", "one of two", "PEEK")["remaining"], 150)

    def test_tiers_exemptions_and_deny_lists(self):
        for _ in range(3):
            verdict = self.ask("listed", "staff:ada")
            self.assertEqual((verdict["allowed"], verdict["source"]), (1, "exempt"))
            self.assertEqual(self.ask("listed", "eve", "TIER", "crew")["source"], "exempt")
            verdict = self.ask("listed", "bot:7")
            self.assertEqual((verdict["allowed"], verdict["retry_ms"], verdict["source"]), (0, -1, "barred"))
        self.assertEqual([self.ask("listed", "eve", "TIER", "premium")["allowed"] for _ in range(6)], [1] * 5 + [0])
        self.assertEqual([self.ask("listed", "eve")["allowed"] for _ in range(3)], [1, 1, 0])

    def test_a_shadow_lets_pass_and_counts(self):
        verdicts = [self.ask("shadowed", "eve") for _ in range(5)]
        self.assertEqual([one["allowed"] for one in verdicts], [1] * 5)
        self.assertEqual([one["denied"] for one in verdicts], [0, 0, 1, 1, 1])
        with self.server.redis() as client:
            rule = pairs(client.execute_command("FB.RULES", "shadowed"))
        self.assertEqual((rule["allowed"], rule["shadowed"], rule["denied"]), (5, 3, 0))

    def test_overrides_for_a_time(self):
        with self.server.redis() as client:
            for words, allowed in ((("LIMIT", 3, "FOR", 3600000), 3), (("DENY", "FOR", 3600000), 0),
                                   (("ALLOW", "FOR", 3600000), 7), (("NONE",), 2)):
                client.execute_command("FB.RESET", "listed", "overridden")
                client.execute_command("FB.OVERRIDE", "listed", "overridden", *words)
                self.assertEqual(sum(self.ask("listed", "overridden")["allowed"] for _ in range(7)), allowed, words)
            client.execute_command("FB.OVERRIDE", "listed", "for a moment", "DENY", "FOR", 50)
            until(lambda: self.ask("listed", "for a moment", "PEEK")["allowed"], "its end")

    def test_leases(self):
        with self.server.redis() as client:
            tokens = [client.execute_command("FB.SLOT", "ACQUIRE", "lease", "alone") for _ in range(4)]
            self.assertEqual([pairs(verdict)["allowed"] for _, verdict in tokens], [1, 1, 1, 0])
            self.assertIsNone(tokens[3][0])
            self.assertEqual(pairs(client.execute_command("FB.SLOT", "SHOW", "lease", "alone"))["remaining"], 0)
            self.assertEqual(client.execute_command("FB.SLOT", "RENEW", "lease", "alone", tokens[0][0]), 1)
            self.assertEqual(client.execute_command("FB.SLOT", "RELEASE", "lease", "alone", tokens[0][0]), 1)
            self.assertEqual(client.execute_command("FB.SLOT", "RELEASE", "lease", "alone", tokens[0][0]), 0)
            token, _ = client.execute_command("FB.SLOT", "ACQUIRE", "lease", "alone", "TTL", 50)
            self.assertIsNotNone(token)
            # It ends by itself.
            until(lambda: client.execute_command("FB.SLOT", "ACQUIRE", "lease", "alone", "TTL", 50)[0], "a free one")

    def test_cl_throttle_answers_as_redis_cell_does(self):
        with self.server.redis() as client:
            answers = [client.execute_command("CL.THROTTLE", "cell", 2, 1, 86400) for _ in range(4)]
            self.assertEqual([one[:3] for one in answers], [[0, 3, 2], [0, 3, 1], [0, 3, 0], [1, 3, 0]])
            self.assertEqual([one[3] for one in answers[:3]], [-1] * 3)
            self.assertTrue(86000 < answers[3][3] <= 86400, answers)
            self.assertTrue(3 * 86000 < answers[3][4] <= 3 * 86400, answers)
            self.assertEqual(client.execute_command("CL.THROTTLE", "other", 9, 1, 60, 10)[:3], [0, 10, 0])
            with self.assertRaises(redis.ResponseError):
                client.execute_command("CL.THROTTLE", "cell", "many", 1, 60)

    def test_what_is_asked_wrongly_is_said(self):
        with self.server.redis() as client:
            for words, what in ((("nothing", "eve"), "nothing"), (("ring", ""), ""), (("ring", "x" * 1025), ""),
                                (("ring", "eve", "COST", -1), ""), (("lease", "eve"), "")):
                with self.assertRaisesRegex(redis.ResponseError, what):
                    client.execute_command("FB.LIMIT", *words)

    # ---- HTTP

    def test_http_answers_and_enforces(self):
        body = json.dumps({"rule": "listed", "key": "http:1"})
        for left in (1, 0):
            status, headers, answer = self.server.http("POST", "/v1/limits/check", body)
            answer = json.loads(answer)
            self.assertEqual((status, answer["allowed"], answer["remaining"]), (200, True, left))
            self.assertEqual((headers["X-RateLimit-Limit"], headers["X-RateLimit-Remaining"]), ("2", str(left)))
            self.assertIn(f"r={left}", headers["RateLimit"])
            self.assertIn("q=2", headers["RateLimit-Policy"])
            self.assertIsNone(headers["Retry-After"])
        status, headers, answer = self.server.http("POST", "/v1/limits/check", body)
        self.assertEqual((status, json.loads(answer)["allowed"]), (200, False))
        status, headers, answer = self.server.http("POST", "/v1/limits/check?enforce=1", body)
        problem = json.loads(answer)
        self.assertEqual((status, headers["Content-Type"]), (429, "application/problem+json"))
        self.assertGreater(int(headers["Retry-After"]), 364 * 86400)
        self.assertEqual(problem["status"], 429)
        self.assertRegex(json.dumps(problem), "Try again in 36[56] days")
        asked = "/v1/limits/check?enforce=1&status=403&rule=listed&key=http:"
        self.assertEqual([self.server.http("GET", asked + key)[0] for key in "122"], [403, 200, 200])
        self.assertEqual(self.server.http("POST", asked + "2")[0], 403)
        shown = self.server.get_json("/v1/limits/listed/http:1")
        self.assertEqual((shown["allowed"], shown["remaining"]), (False, 0))

    def test_metrics_by_rule(self):
        for _ in range(4):
            self.ask("closed", "metrics", "COST", 4)
        text = self.server.http("GET", "/metrics")[2].decode()
        for name, value in (("allowed", 2), ("denied", 2), ("charged", 8)):
            self.assertRegex(text, rf'(?m)^forebay_limit_{name}_total{{rule="closed"}} {value}$')
        with self.server.redis() as client:
            rule = pairs(client.execute_command("FB.RULES", "closed"))
        self.assertEqual([pairs(one)["denied"] for one in rule["top"]], [2])
        self.assertNotIn("metrics", pairs(rule["top"][0])["key"])

    # ---- forebay's own doors

    def test_attempts_to_sign_in_are_limited(self):
        with Server("limits: {auth: {limit: 3, window: 365d, per: address, charge_denied: true}}\n") as server:
            said = []
            for _ in range(5):
                with server.redis() as client, self.assertRaises(redis.ResponseError) as caught:
                    client.execute_command("AUTH", "eve", "a guess")
                said.append(str(caught.exception))
            self.assertTrue(all("WRONGPASS" in one or "invalid username" in one for one in said[:3]), said)
            self.assertTrue(all("too many" in one for one in said[3:]), said)
            with server.redis() as client:
                self.assertTrue(client.ping())

    def test_new_connections_are_limited(self):
        with Server("listen: {connect_limit: door}\n"
                    "limits: {door: {limit: 4, window: 365d, per: address}}\n") as server:
            clients = [server.redis() for _ in range(5)]
            with contextlib.ExitStack() as stack:
                for client in clients:
                    stack.enter_context(client)
                self.assertEqual([client.ping() for client in clients[:4]], [True] * 4)
                with self.assertRaises(redis.RedisError):
                    clients[4].ping()
                self.assertEqual([client.ping() for client in clients[:4]], [True] * 4)

    # ---- another configuration

    def test_a_rule_is_reloaded(self):
        config = "limits:\n  one: {limit: 4, window: 365d}\n  gone: {limit: 1, window: 1h}\n"
        with Server(config) as server:
            self.assertEqual([verdict_of(server, "one", "x")["allowed"] for _ in range(5)], [1] * 4 + [0])
            verdict_of(server, "gone", "x")
            server.file.write_text("limits:\n  one: {limit: 6, window: 365d}\n  new: {limit: 1, window: 1h}\n"
                                   "  generation: {enabled: false}\n")
            server.send_signal(signal.SIGHUP)
            server.wait_for("reloaded")
            # What was used stays used.
            self.assertEqual([verdict_of(server, "one", "x")["allowed"] for _ in range(3)], [1, 1, 0])
            self.assertEqual(verdict_of(server, "new", "x")["remaining"], 0)
            for name in ("gone", "generation"):
                with self.assertRaisesRegex(redis.ResponseError, "NOLIMIT"):
                    verdict_of(server, name, "x")
            server.file.write_text("limits:\n  one: {limit: 0, window: 365d}\n")
            server.send_signal(signal.SIGHUP)
            server.wait_for("reload_refused")
            self.assertEqual(verdict_of(server, "one", "x")["limit"], 6)


if __name__ == "__main__":
    main()
