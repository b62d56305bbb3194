#!/usr/bin/python3
"""Limits of forebay's own doors (listen.connect_limit, listen.auth_limit), and programs written for
redis-cell, unchanged."""

import http.client
import json
import threading

import redis

from forebay import PATIENCE, Server, TestCase, main, run

RULES = """
limits:
  connecting: {limit: 5, window: 10h, per: address}
  signing_in: {limit: 3, window: 10h, per: address}
listen: {connect_limit: connecting, auth_limit: signing_in, socket: forebay.sock}
"""


class Doors(TestCase):
    def test_an_address_that_connects_too_often_is_turned_away(self):
        with Server(RULES) as server:
            clients = [redis.Redis(port=server.resp_port) for _ in range(6)]
            for client in clients[:5]:
                self.assertTrue(client.ping())
                self.assertTrue(client.ping())  # one that is there may say what it likes
            with server.socket(server.resp_port) as connection:
                with connection.makefile("rb") as replies:
                    self.assertRegex(replies.read(),
                                     rb"\A-ERR max connections rate reached\. Try again in .+\.\r\n\Z")
            web = http.client.HTTPConnection("127.0.0.1", server.http_port, timeout=PATIENCE)
            web.request("GET", "/healthz")
            answer = web.getresponse()
            self.assertEqual(answer.status, 429)
            self.assertTrue(0 < int(answer.headers["Retry-After"]) <= 36001)
            self.assertIn("Try again in", json.load(answer)["detail"])
            web.close()
            # Who comes by the Unix socket has no address.
            for _ in range(10):
                with redis.Redis(unix_socket_path=str(server.folder / "forebay.sock"), decode_responses=True) as own:
                    self.assertTrue(own.ping())
            with redis.Redis(unix_socket_path=str(server.folder / "forebay.sock"), decode_responses=True) as own:
                self.assertGreaterEqual(own.info("stats")["rejected_connections"], 2)
                self.assertEqual(own.execute_command("FB.RESET", "connecting", "127.0.0.1"), "OK")
            self.assertTrue(clients[5].ping())
            for client in clients:
                client.close()

    def test_an_address_that_fails_to_sign_in_too_often_is_not_listened_to(self):
        with Server(RULES) as server:
            def sign_in(user):
                with redis.Redis(port=server.resp_port, username=user, password="x") as client:
                    return client.ping()
            self.assertTrue(sign_in("default"))
            for _ in range(3):
                with self.assertRaisesRegex(redis.RedisError, "invalid username-password pair"):
                    sign_in("somebody")
            with redis.Redis(unix_socket_path=str(server.folder / "forebay.sock"), decode_responses=True) as own:
                own.execute_command("FB.RESET", "connecting", "127.0.0.1")
                with self.assertRaisesRegex(redis.RedisError, "too many failed authentication attempts. Try again in"):
                    sign_in("default")
                self.assertTrue(own.execute_command("AUTH", "default", "x"))  # no address, no limit
                own.execute_command("FB.RESET", "signing_in", "127.0.0.1")
            self.assertTrue(sign_in("default"))

    def test_a_rule_that_there_is_not_is_refused_at_the_start(self):
        with Server() as server:
            file = server.folder / "other.yaml"
            file.write_text("listen: {connect_limit: nosuch}\n")
            done = run("check", file)
            self.assertEqual(done.returncode, 2, done.stdout + done.stderr)
            self.assertIn("nosuch", done.stdout + done.stderr)


class Proxies(TestCase):
    def test_the_key_is_taken_from_the_header_that_the_nearest_proxy_wrote(self):
        with Server(RULES) as server:
            web = http.client.HTTPConnection("127.0.0.1", server.http_port, timeout=PATIENCE)

            def ask(*headers, header="X-Forwarded-For"):
                web.putrequest("GET", f"/v1/limits/check?enforce=1&rule=auth&cost=5&key_header={header}")
                for name, value in headers:
                    web.putheader(name, value)
                web.endheaders()
                answer = web.getresponse()
                return answer.status, json.load(answer)
            self.assertEqual(ask(("X-Forwarded-For", "192.0.2.1, 203.0.113.7"))[0], 200)
            # What a client writes before it, in the same line or in one of its own, changes nothing.
            for made_up in ("192.0.2.2", "203.0.113.8"):
                self.assertEqual(ask(("X-Forwarded-For", f"{made_up}, 203.0.113.7"))[0], 429)
                self.assertEqual(ask(("X-Forwarded-For", made_up), ("x-forwarded-for", "203.0.113.7"))[0], 429)
            self.assertEqual(ask(("X-Real-IP", "203.0.113.7"), header="X-Real-IP")[0], 429)
            self.assertEqual(ask(("X-Real-IP", "203.0.113.8"), header="x-real-ip")[0], 200)
            status, problem = ask(("X-Real-IP", "203.0.113.9"))
            self.assertEqual((status, problem["detail"]),
                             (400, "key_header: the request has no header 'X-Forwarded-For'"))
            web.close()


class RedisCell(TestCase):
    """As its README shows how to use it."""

    @classmethod
    def setUpClass(cls):
        cls.server = Server()
        cls.enterClassContext(cls.server)

    def test_a_program_that_throttles_users(self):
        with self.server.redis() as client:
            def may_pass(user, quantity=1):
                limited, limit, remaining, retry_s, reset_s = client.execute_command(
                    "CL.THROTTLE", user, 14, 1, 3600, quantity)
                self.assertEqual(limit, 15)
                self.assertTrue(0 <= remaining < 15 and reset_s >= 1)
                self.assertEqual(retry_s == -1, limited == 0)
                return limited == 0
            self.assertEqual([may_pass("user123") for _ in range(16)], [True] * 15 + [False])
            self.assertTrue(may_pass("user456", 15))
            with self.assertRaisesRegex(redis.ResponseError, "Cell error: Couldn't parse as integer: many"):
                client.execute_command("CL.THROTTLE", "user123", "many", 1, 60)

    def test_pipelines_from_many_connections_get_as_much_as_there_is(self):
        passed = []

        def press(number):
            with self.server.redis() as client, client.pipeline(transaction=number % 2 == 0) as pipeline:
                for _ in range(100):
                    pipeline.execute_command("CL.THROTTLE", "everybody", 149, 1, 86400)
                passed.append(sum(reply[0] == 0 for reply in pipeline.execute()))
        crew = [threading.Thread(target=press, args=(number,)) for number in range(4)]
        for one in crew:
            one.start()
        for one in crew:
            one.join(PATIENCE)
        self.assertEqual(sum(passed), 150)

    def test_clients_are_told_where_the_keys_are(self):
        with self.server.redis() as client:
            self.assertEqual(client.command_getkeys("FB.LIMITS", 2, "api", "a", "auth", "b"), ["a", "b"])
            self.assertEqual(client.command_getkeys("CL.THROTTLE", "user123", 15, 30, 60), ["user123"])
            told = client.execute_command("COMMAND", "INFO", "fb.limit", "cl.throttle", "fb.slot")
            self.assertEqual(set(told), {"fb.limit", "cl.throttle", "fb.slot"})


if __name__ == "__main__":
    main()
