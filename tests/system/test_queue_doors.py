#!/usr/bin/python3
"""Queues through every door of the daemon, RESP, HTTP and the command line: what is said, what is refused, who
waits and who goes. Over the journal, and all of it again over a Redis."""

import base64
import http.client
import json
import pathlib
import shutil
import signal
import socket
import tempfile
import threading
import unittest

import redis

from forebay import PATIENCE, Replies, Server, TestCase, command, main, read_all, run
from shared import HAS_REDIS, Redis, until

QUEUES = """
queue: {file: queue.db, timeout: 60s}
queues:
  work: {attempts: 2, retry_delay: 10m, retry_max: 10m}
  other: {}
  short: {lease: 1s, attempts: 1}
  small: {jobs_max: 2}
  little: {payload_max: 100}
"""


def rows(reply):
    """The maps of a reply, which are flat in RESP2."""
    return [one if isinstance(one, dict) else dict(zip(one[::2], one[1::2])) for one in reply]


class Doors:
    """What every store has to show."""

    store = "journal"

    @classmethod
    def setUpClass(cls):
        cls.home = pathlib.Path(tempfile.mkdtemp(prefix="forebay-test."))
        cls.addClassCleanup(shutil.rmtree, cls.home, True)
        config = cls.begin()
        cls.server = Server(config).start()
        cls.addClassCleanup(cls.end)
        cls.client = cls.server.redis()
        cls.addClassCleanup(cls.client.close)

    @classmethod
    def begin(cls):
        return QUEUES

    @classmethod
    def end(cls):
        status = cls.server.stop()
        cls.server.remove()
        assert status == 0, f"ended with {status}:\n" + "\n".join(cls.server.log.lines)

    def setUp(self):
        for queue in ("work", "other", "short", "small", "little"):
            self.ask("FB.QUEUE", queue, "RESUME")
            for state in ("ready", "scheduled", "leased", "dead"):
                self.ask("FB.QUEUE", queue, "PURGE", state)

    def ask(self, *words):
        return self.client.execute_command(*words)

    def job(self, identity):
        found = self.ask("FB.JOB", identity)
        return rows([found])[0] if found else None

    def reserve(self, *words):
        return self.ask("FB.RESERVE", *words)

    def refused(self, words, *commands):
        for one in commands:
            with self.subTest(command=one):
                with self.assertRaisesRegex(redis.ResponseError, words):
                    self.ask(*one)

    def http(self, method, path, body=None, **headers):
        """(status, what the JSON says, or None)."""
        text = body if body is None or isinstance(body, (bytes, str)) else json.dumps(body)
        status, got, said = self.server.http(method, path, text, headers)
        return status, json.loads(said) if "json" in got.get("Content-Type", "") else None

    def problem(self, status, words, method, path, body=None):
        with self.subTest(path=path, body=body):
            got, said = self.http(method, path, body)
            self.assertEqual(got, status, said)
            self.assertEqual(said["status"], status)
            self.assertRegex(said["detail"], words)
            return said

    # ---- RESP

    def test_a_job_goes_in_and_out(self):
        identity = self.ask("FB.ENQUEUE", "work", '{"user":42}', "KIND", "monthly", "PRI", 3)
        self.assertRegex(identity, r"\Awork\.\d+\Z")
        job = self.job(identity)
        self.assertEqual((job["state"], job["kind"], job["priority"], job["payload"], job["attempt"]),
                         ("ready", "monthly", 3, '{"user":42}', 0))
        ((got, token, attempt, kind, payload),) = self.reserve("work", "WORKER", "me")
        self.assertEqual((got, attempt, kind, payload), (identity, 1, "monthly", '{"user":42}'))
        self.assertIsInstance(token, int)
        self.assertEqual(self.job(identity)["state"], "leased")
        self.assertEqual(self.reserve("work"), [])
        self.assertEqual(self.ask("FB.ACK", "work", identity, token), 1)
        self.assertIsNone(self.job(identity))
        self.refused("LEASELOST", ("FB.ACK", "work", identity, token))

    def test_options_are_kept(self):
        identity, fresh = self.ask("FB.ENQUEUE", "work", "x", "UNIQ", "key", "ATTEMPTS", 7, "LEASE", 4000,
                                   "EXPIRES", 3600000, "DELAY", 3600000, "WITHNEW")
        self.assertEqual(fresh, 1)
        self.assertEqual(self.ask("FB.ENQUEUE", "work", "y", "UNIQ", "key", "WITHNEW"), [identity, 0])
        self.assertEqual(self.ask("FB.ENQUEUE", "work", "y", "UNIQ", "key"), identity)
        job = self.job(identity)
        self.assertEqual((job["state"], job["attempts"], job["lease_ms"], job["unique"], job["payload"]),
                         ("scheduled", 7, 4000, "key", "x"))
        self.assertEqual(job["due_ms"] - job["enqueued_ms"], 3600000)
        self.assertEqual(job["expires_ms"] - job["enqueued_ms"], 3600000)
        later = self.ask("FB.ENQUEUE", "work", "x", "AT", job["due_ms"] + 5)
        self.assertEqual(self.job(later)["due_ms"], job["due_ms"] + 5)
        self.assertEqual(self.ask("FB.KICK", identity, later), 2)
        self.assertEqual([row[0] for row in self.reserve("work", "COUNT", 5)], [identity, later])

    def test_batches(self):
        names = self.ask("FB.MENQUEUE", "work", "KIND", "k", "PRI", 1, "PAYLOADS", *range(10))
        self.assertEqual(len(set(names)), 10)
        jobs = self.reserve("work", "COUNT", 4)
        self.assertEqual([row[4] for row in jobs], list("0123"))
        done, more = self.ask("FB.ACK", "work", *[word for row in jobs for word in row[:2]], "RESERVE", 3)
        self.assertEqual((done, [row[4] for row in more]), (4, list("456")))
        pairs = [word for row in more for word in row[:2]]
        self.assertEqual(self.ask("FB.ACK", "work", *pairs[:4], names[0], 1), [1, 1, 0])
        done, more = self.ask("FB.ACK", "work", *pairs[:2], "RESERVE", 1)
        self.assertEqual((done, [row[4] for row in more]), (0, ["7"]))

    def test_priorities_and_several_queues(self):
        late = self.ask("FB.ENQUEUE", "work", "late", "PRI", 9)
        soon = self.ask("FB.ENQUEUE", "work", "soon", "PRI", 0)
        other = self.ask("FB.ENQUEUE", "other", "other")
        self.assertEqual([row[0] for row in self.reserve("work", "COUNT", 2)], [soon, late])
        self.assertEqual([row[0] for row in self.reserve("work", "other", "COUNT", 2)], [other])

    def test_what_fails_is_tried_again_until_it_is_dead(self):
        identity = self.ask("FB.ENQUEUE", "work", "x")
        ((_, token, *_),) = self.reserve("work")
        self.assertEqual(self.ask("FB.FAIL", "work", identity, token, "DELAY", 0, "ERROR", "first\nline"), "OK")
        self.assertEqual(self.job(identity)["error"], "first\nline")
        ((_, token, attempt, *_),) = self.reserve("work")
        self.assertEqual(attempt, 2)
        self.ask("FB.FAIL", "work", identity, token, "ERROR", "second")
        job = self.job(identity)
        self.assertEqual((job["state"], job["end"], job["error"]), ("dead", "attempts", "second"))
        self.assertEqual([row["id"] for row in rows(self.ask("FB.DEAD", "work"))], [identity])
        self.assertEqual(rows(self.ask("FB.DEAD", "work", "AFTER", identity, "COUNT", 1)), [])
        self.assertEqual(self.ask("FB.RETRY", "work"), 1)
        self.assertEqual((self.job(identity)["state"], self.job(identity)["attempt"]), ("ready", 0))
        ((_, token, *_),) = self.reserve("work")
        self.ask("FB.FAIL", "work", identity, token, "PERMANENT")
        self.assertEqual(self.job(identity)["end"], "permanent")
        self.assertEqual(self.ask("FB.RETRY", identity), 1)
        ((_, token, *_),) = self.reserve("work")
        self.ask("FB.FAIL", "work", identity, token)
        self.assertEqual(self.job(identity)["state"], "scheduled")  # by the queue's back-off
        self.assertEqual(self.ask("FB.KICK", "work", "SCHEDULED", "COUNT", 5), 1)

    def test_a_key_that_another_job_has_keeps_a_dead_one_dead(self):
        identity = self.ask("FB.ENQUEUE", "work", "x", "UNIQ", "key")
        ((_, token, *_),) = self.reserve("work")
        self.ask("FB.FAIL", "work", identity, token, "PERMANENT")
        self.assertNotEqual(self.ask("FB.ENQUEUE", "work", "y", "UNIQ", "key"), identity)
        self.refused("DUPLICATE", ("FB.RETRY", identity))
        self.assertEqual(self.ask("FB.RETRY", "work"), 0)

    def test_leases_are_extended_and_given_back(self):
        identity = self.ask("FB.ENQUEUE", "work", "x")
        ((_, token, *_),) = self.reserve("work", "LEASE", 60000)
        first = self.job(identity)["until_ms"]
        self.assertEqual(self.ask("FB.EXTEND", "work", identity, token, "LEASE", 900000, "PROGRESS", "half"), "OK")
        job = self.job(identity)
        self.assertGreater(job["until_ms"], first + 800000)
        self.assertEqual(job["progress"], "half")
        self.assertEqual(self.ask("FB.PROGRESS", "work", identity, token, "more"), "OK")
        self.assertEqual(self.job(identity)["progress"], "more")
        self.assertEqual(self.ask("FB.RELEASE", "work", identity, token), "OK")
        self.assertEqual((self.job(identity)["state"], self.job(identity)["attempt"]), ("ready", 0))
        self.refused("LEASELOST", ("FB.EXTEND", "work", identity, token), ("FB.RELEASE", "work", identity, token),
                     ("FB.FAIL", "work", identity, token), ("FB.PROGRESS", "work", identity, token, "x"))
        ((_, token, *_),) = self.reserve("work")
        self.assertEqual(self.ask("FB.RELEASE", "work", identity, token, "DELAY", 3600000), "OK")
        self.assertEqual(self.job(identity)["state"], "scheduled")

    def test_what_is_abandoned_runs_again(self):
        identity = self.ask("FB.ENQUEUE", "work", "x")
        ((_, token, *_),) = self.reserve("work", "LEASE", 1)
        ((got, again, attempt, *_),) = self.reserve("work", "BLOCK", 60000)
        self.assertEqual((got, attempt), (identity, 2))
        self.refused("LEASELOST", ("FB.ACK", "work", identity, token))
        self.assertEqual(self.ask("FB.ACK", "work", identity, again), 1)

    def test_cancelled_jobs_are_gone(self):
        first, second = self.ask("FB.MENQUEUE", "work", "PAYLOADS", "a", "b")
        ((_, token, *_),) = self.reserve("work")
        self.assertEqual(self.ask("FB.CANCEL", first, second, "work.9007199254740991"), 2)
        self.refused("LEASELOST", ("FB.ACK", "work", first, token))
        self.assertEqual(self.ask("FB.CANCEL", first), 0)

    def test_a_queue_is_looked_at_and_paused(self):
        self.ask("FB.ENQUEUE", "work", "x", "PRI", 2)
        self.ask("FB.ENQUEUE", "work", "x", "DELAY", 3600000)
        look = rows([self.ask("FB.QUEUE", "work")])[0]
        self.assertEqual([look[name] for name in ("name", "ready", "scheduled", "leased", "dead", "paused")],
                         ["work", 1, 1, 0, 0, 0])
        self.assertEqual(look["ready_by_priority"][2], 1)
        self.assertGreater(look["next_ms"], 0)
        self.assertEqual(self.ask("FB.QUEUE", "work", "PAUSE"), 1)
        self.assertEqual(self.ask("FB.QUEUE", "work", "PAUSE"), 0)
        self.assertEqual(self.reserve("work", "BLOCK", 1), [])
        self.assertEqual(rows([self.ask("FB.QUEUE", "work")])[0]["paused"], 1)
        self.assertEqual(self.ask("FB.QUEUE", "work", "RESUME"), 1)
        self.assertEqual(len(self.reserve("work")), 1)
        self.assertEqual([row["kind"] for row in rows(self.ask("FB.QUEUE", "work", "LIST", "scheduled"))], [""])
        self.assertEqual(self.ask("FB.QUEUE", "work", "PURGE", "scheduled"), 1)
        self.assertEqual({row["name"] for row in rows(self.ask("FB.QUEUES"))},
                         {"default", "mail", "work", "other", "short", "small", "little"})
        self.assertIn("queue_work", self.client.info("queues"))

    def test_resp3_has_maps(self):
        identity = self.ask("FB.ENQUEUE", "work", "x")
        with self.server.socket() as connection:
            connection.sendall(command("HELLO", 3) + command("FB.RESERVE", "other") + command("FB.JOB", identity) +
                               command("QUIT"))
            said = read_all(connection)
        self.assertRegex(said, rb"(?s)\A%.*\r\n\*0\r\n%\d+\r\n\$2\r\nid\r\n\$\d+\r\n" + identity.encode())

    def test_payloads_are_any_bytes(self):
        bytes_of_all = bytes(range(256)) + b"\r\n$-1\r\n"
        with redis.Redis(port=self.server.resp_port) as client:
            identity = client.execute_command("FB.ENQUEUE", "work", bytes_of_all, "KIND", "\u00e4")
            ((got, _, _, kind, payload),) = client.execute_command("FB.RESERVE", "work")
        self.assertEqual((got, kind.decode(), payload), (identity, "\u00e4", bytes_of_all))

    def test_who_is_wrong_is_told(self):
        good = self.ask("FB.ENQUEUE", "work", "x")
        self.refused("NOQUEUE", ("FB.ENQUEUE", "nosuch", "x"), ("FB.RESERVE", "nosuch"), ("FB.RESERVE", "work", "no"),
                     ("FB.QUEUE", "nosuch"), ("FB.QUEUE", "nosuch", "PAUSE"), ("FB.JOB", "nosuch.64"),
                     ("FB.ACK", "nosuch", "nosuch.64", 1), ("FB.CANCEL", "nosuch.64"), ("FB.RETRY", "nosuch"))
        self.refused("wrong number", ("FB.ENQUEUE", "work"), ("FB.RESERVE",), ("FB.ACK", "work", good), ("FB.JOB",),
                     ("FB.PROGRESS", "work", good, 1), ("FB.QUEUES", "x"), ("FB.MENQUEUE", "work", "PAYLOADS"))
        self.refused("PRI needs", ("FB.ENQUEUE", "work", "x", "PRI", 10), ("FB.ENQUEUE", "work", "x", "PRI", -1),
                     ("FB.ENQUEUE", "work", "x", "PRI", "high"), ("FB.ENQUEUE", "work", "x", "PRI"))
        self.refused("DELAY needs", ("FB.ENQUEUE", "work", "x", "DELAY", -1), ("FB.FAIL", "work", good, 1, "DELAY"))
        self.refused("AT needs", ("FB.ENQUEUE", "work", "x", "AT", 0))
        self.refused("do not go together", ("FB.ENQUEUE", "work", "x", "AT", 5, "DELAY", 5))
        self.refused("ATTEMPTS needs", ("FB.ENQUEUE", "work", "x", "ATTEMPTS", 0))
        self.refused("LEASE needs", ("FB.ENQUEUE", "work", "x", "LEASE", 0), ("FB.RESERVE", "work", "LEASE", "1s"))
        self.refused("EXPIRES needs", ("FB.ENQUEUE", "work", "x", "EXPIRES", 0))
        self.refused("given twice", ("FB.ENQUEUE", "work", "x", "KIND", "a", "KIND", "b"))
        self.refused("KIND needs", ("FB.ENQUEUE", "work", "x", "KIND"))
        self.refused("no option here", ("FB.ENQUEUE", "work", "x", "COLOUR", "red"),
                     ("FB.RESERVE", "work", "COUNT", 1, "other"), ("FB.DEAD", "work", "x"))
        self.refused("COUNT needs", ("FB.RESERVE", "work", "COUNT", 0), ("FB.RESERVE", "work", "COUNT", 1001))
        self.refused("BLOCK needs", ("FB.RESERVE", "work", "BLOCK", -1))
        self.refused("at most 16 queues", ("FB.RESERVE", *["work"] * 17))
        self.refused("PAYLOADS", ("FB.MENQUEUE", "work", "x", "y"), ("FB.MENQUEUE", "work", "PRI", 1, "PAYLOADS"),
                     ("FB.MENQUEUE", "work", "PAYLOADS", *range(1001)), ("FB.MENQUEUE", "work", "UNIQ", "x", "PAYLOADS", 1))
        self.refused("no id of a job", ("FB.JOB", "x"), ("FB.JOB", "work."), ("FB.JOB", "work.x"), ("FB.JOB", ""),
                     ("FB.ACK", "work", "64", 1), ("FB.CANCEL", good, "x"), ("FB.JOB", "work.99999999999999999999"))
        self.refused("no job of queue", ("FB.ACK", "other", good, 1), ("FB.CANCEL", good, "other.64"))
        self.refused("the token", ("FB.ACK", "work", good, "x"), ("FB.FAIL", "work", good, -1))
        self.refused("each with its token", ("FB.ACK", "work", good, 1, good), ("FB.ACK", "work", "RESERVE", 1))
        self.refused("of RESERVE", ("FB.ACK", "work", good, 1, "LEASE", 5))
        self.refused("a state is", ("FB.QUEUE", "work", "PURGE"), ("FB.QUEUE", "work", "PURGE", "gone"),
                     ("FB.QUEUE", "work", "LIST", "x"))
        self.refused("cannot be done", ("FB.QUEUE", "work", "EXPLODE"))
        self.refused("syntax", ("FB.QUEUE", "work", "PAUSE", "x"), ("FB.QUEUE", "work", "PURGE", "dead", "x"))
        self.refused("scheduled or dead", ("FB.KICK", "work"), ("FB.KICK", "work", "READY"), ("FB.KICK", "work", "x"))
        self.refused("LEASELOST", ("FB.ACK", "work", good, 1))
        self.assertEqual(self.job(good)["state"], "ready")

    def test_full_and_too_large_are_told(self):
        self.ask("FB.MENQUEUE", "small", "PAYLOADS", "a", "b")
        self.refused("FULL", ("FB.ENQUEUE", "small", "c"))
        self.problem(503, ".", "POST", "/v1/queues/small/jobs", {"payload": 1})
        self.refused("at most|control character", ("FB.ENQUEUE", "little", "x" * 101),
                     ("FB.ENQUEUE", "work", "x", "KIND", "k" * 65), ("FB.ENQUEUE", "work", "x", "UNIQ", "k" * 257),
                     ("FB.ENQUEUE", "work", "x", "KIND", "a\tb"))
        got, _ = self.http("POST", "/v1/queues/little/jobs", {"payload": "x" * 101})
        self.assertEqual(got, 413)

    # ---- waiting

    def test_a_blocked_reserve_gets_the_next_job(self):
        with self.server.redis() as waiting:
            found = []
            thread = threading.Thread(
                target=lambda: found.extend(waiting.execute_command("FB.RESERVE", "work", "other", "BLOCK", 0)))
            thread.start()
            until(lambda: self.client.info("clients")["blocked_clients"] == 1, "somebody who waits")
            identity = self.ask("FB.ENQUEUE", "other", "x")
            thread.join(PATIENCE)
        self.assertEqual(found[0][0], identity)
        until(lambda: self.client.info("clients")["blocked_clients"] == 0, "nobody who waits")

    def test_a_blocked_reserve_holds_back_its_own_connection_alone(self):
        with self.server.socket() as connection:
            replies = Replies(connection)
            connection.sendall(command("PING") + command("FB.RESERVE", "work", "BLOCK", 0) + command("PING") +
                               command("FB.ENQUEUE", "other", "after"))
            self.assertEqual(replies.next(), b"PONG")
            until(lambda: self.client.info("clients")["blocked_clients"] == 1, "somebody who waits")
            self.assertEqual(rows([self.ask("FB.QUEUE", "other")])[0]["ready"], 0)
            self.ask("FB.ENQUEUE", "work", "x")
            self.assertEqual(replies.next()[0][4], b"x")
            self.assertEqual(replies.next(), b"PONG")
            self.assertTrue(replies.next().startswith(b"other."))

    def test_a_wait_that_ends_brings_nothing(self):
        self.assertEqual(self.reserve("work", "BLOCK", 20), [])
        self.assertEqual(self.http("POST", "/v1/queues/work/reserve", {"wait_ms": 20}), (200, {"jobs": []}))

    def test_in_a_transaction_nobody_waits(self):
        with self.client.pipeline() as pipe:
            pipe.execute_command("FB.RESERVE", "work", "BLOCK", 0)
            pipe.execute_command("FB.ENQUEUE", "work", "x")
            pipe.execute_command("FB.RESERVE", "work", "BLOCK", 0)
            pipe.execute_command("PING")
            before, identity, after, _ = pipe.execute()
        self.assertEqual((before, after[0][0]), ([], identity))

    def test_who_goes_takes_no_job_along(self):
        for way in ("close", "shutdown", "pipelined", "reset"):
            with self.subTest(way=way):
                connection = self.server.socket()
                more = command("PING") if way == "pipelined" else b""
                connection.sendall(command("FB.RESERVE", "work", "BLOCK", 0) + more)
                until(lambda: self.client.info("clients")["blocked_clients"] == 1, "somebody who waits")
                if way == "shutdown":
                    connection.shutdown(socket.SHUT_WR)
                    self.assertEqual(Replies(connection).next(), [])
                elif way == "reset":
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                connection.close()
                until(lambda: self.client.info("clients")["blocked_clients"] == 0, "nobody who waits")
                identity = self.ask("FB.ENQUEUE", "work", "x")
                ((got, _, attempt, *_),) = self.reserve("work", "BLOCK", 60000)
                self.assertEqual((got, attempt), (identity, 1))

    def test_a_request_that_goes_takes_no_job_along(self):
        for way in ("close", "reset"):
            with self.subTest(way=way):
                web = http.client.HTTPConnection("127.0.0.1", self.server.http_port, timeout=PATIENCE)
                web.request("POST", "/v1/queues/work/reserve", json.dumps({"wait_ms": 3600000}))
                until(lambda: self.client.info("clients")["blocked_clients"] == 1, "somebody who waits")
                if way == "reset":
                    web.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                web.close()
                until(lambda: self.client.info("clients")["blocked_clients"] == 0, "nobody who waits")
                identity = self.ask("FB.ENQUEUE", "work", "x")
                self.assertEqual(self.reserve("work", "BLOCK", 60000)[0][0], identity)

    def test_hundreds_may_wait_at_once(self):
        count = 300
        connections = [self.server.socket() for _ in range(count)]
        for number, connection in enumerate(connections):
            connection.sendall(command("FB.RESERVE", "work", "BLOCK", 0, "WORKER", number))
        until(lambda: self.client.info("clients")["blocked_clients"] == count, "all to wait")
        names = self.ask("FB.MENQUEUE", "work", "PAYLOADS", *range(count))
        got = [Replies(connection).next() for connection in connections]
        self.assertEqual(sorted(one[0][0].decode() for one in got), sorted(names))
        for connection in connections:
            connection.close()

    def test_pipelined_jobs_are_accepted_in_order(self):
        with self.client.pipeline(transaction=False) as pipe:
            for number in range(500):
                pipe.execute_command("FB.ENQUEUE", "work", number)
            names = pipe.execute()
        self.assertEqual(len(set(names)), 500)
        got = [row[4] for _ in range(5) for row in self.reserve("work", "COUNT", 100)]
        self.assertEqual(got, [str(number) for number in range(500)])

    # ---- HTTP

    def test_http_a_job_goes_in_and_out(self):
        payload = {"user": 42, "name": "\u00e4", "list": [1, 2.5, None, True]}
        status, said = self.http("POST", "/v1/queues/work/jobs",
                                 {"payload": payload, "kind": "monthly", "priority": 1, "unique": "k", "attempts": 4})
        self.assertEqual((status, said["new"]), (201, True))
        identity = said["id"]
        self.assertEqual(self.http("POST", "/v1/queues/work/jobs", {"payload": 1, "unique": "k"}),
                         (200, {"id": identity, "new": False}))
        status, job = self.http("GET", f"/v1/jobs/{identity}")
        self.assertEqual((status, job["payload"], job["payload_encoding"], job["state"], job["priority"]),
                         (200, payload, "json", "ready", 1))
        status, said = self.http("POST", "/v1/queues/work/reserve", {"count": 5, "worker": "web"})
        (claim,) = said["jobs"]
        self.assertEqual((claim["id"], claim["payload"], claim["attempt"], claim["attempts"]), (identity, payload, 1, 4))
        self.assertEqual(self.http("POST", f"/v1/jobs/{identity}/progress", {"token": claim["token"], "text": "half"}),
                         (204, None))
        self.assertEqual(self.http("POST", f"/v1/jobs/{identity}/extend", {"token": str(claim["token"])})[0], 204)
        self.assertEqual(self.http("GET", f"/v1/jobs/{identity}")[1]["progress"], "half")
        self.assertEqual(self.http("POST", f"/v1/jobs/{identity}/ack?token={claim['token']}")[0], 204)
        self.problem(404, "there is no job", "GET", f"/v1/jobs/{identity}")
        said = self.problem(409, "lease", "POST", f"/v1/jobs/{identity}/ack", {"token": claim["token"]})
        self.assertEqual(said["code"], "LEASELOST")

    def test_http_lists_of_jobs(self):
        status, said = self.http("POST", "/v1/queues/work/jobs", [{"payload": number} for number in range(3)])
        self.assertEqual((status, len(said["jobs"])), (201, 3))
        names = [one["id"] for one in said["jobs"]]
        listed = self.http("GET", "/v1/queues/work/jobs?state=ready&count=2")[1]["jobs"]
        self.assertEqual([one["id"] for one in listed], names[:2])
        self.assertNotIn("payload", listed[0])
        listed = self.http("GET", f"/v1/queues/work/jobs?after={names[1]}")[1]["jobs"]
        self.assertEqual([one["id"] for one in listed], names[2:])
        jobs = self.http("POST", "/v1/queues/work,other/reserve?count=2")[1]["jobs"]
        status, said = self.http("POST", "/v1/queues/work/ack", {
            "jobs": [{"id": one["id"], "token": one["token"]} for one in jobs] + [{"id": names[2], "token": 1}],
            "reserve": 1})
        self.assertEqual((status, said["results"], said["acknowledged"]), (200, ["done", "done", "lost"], 2))
        self.assertEqual([one["payload"] for one in said["jobs"]], [2])
        last = said["jobs"][0]
        status, said = self.http("POST", f"/v1/jobs/{last['id']}/ack", {"token": last["token"], "reserve": 1})
        self.assertEqual((status, said), (200, {"acknowledged": 1, "jobs": []}))

    def test_http_payloads_of_bytes(self):
        raw = bytes(range(256))
        status, said = self.http("POST", "/v1/queues/work/jobs?raw=1&kind=k&priority=0", raw)
        self.assertEqual(status, 201)
        job = self.http("GET", f"/v1/jobs/{said['id']}")[1]
        self.assertEqual((job["payload_encoding"], base64.b64decode(job["payload"]), job["kind"]), ("base64", raw, "k"))
        status, said = self.http("POST", "/v1/queues/work/jobs",
                                 {"payload": base64.b64encode(raw).decode(), "payload_encoding": "base64"})
        self.assertEqual(base64.b64decode(self.http("GET", f"/v1/jobs/{said['id']}")[1]["payload"]), raw)
        for size in range(5):
            status, said = self.http("POST", "/v1/queues/work/jobs?raw=1", b"\xff" * size)
            job = self.http("GET", f"/v1/jobs/{said['id']}")[1]
            self.assertEqual(base64.b64decode(job["payload"]), b"\xff" * size)

    def test_http_failing_releasing_retrying_cancelling(self):
        identity = self.http("POST", "/v1/queues/work/jobs", {"payload": None})[1]["id"]

        def token():
            return self.http("POST", "/v1/queues/work/reserve", {})[1]["jobs"][0]["token"]
        self.assertEqual(self.http("POST", f"/v1/jobs/{identity}/release", {"token": token()})[0], 204)
        self.assertEqual(self.http("POST", f"/v1/jobs/{identity}/fail",
                                   {"token": token(), "error": "no", "permanent": True})[0], 204)
        job = self.http("GET", f"/v1/jobs/{identity}")[1]
        self.assertEqual((job["state"], job["end"], job["error"]), ("dead", "permanent", "no"))
        self.assertEqual(self.http("POST", f"/v1/jobs/{identity}/retry")[0], 204)
        self.assertEqual(self.http("POST", f"/v1/jobs/{identity}/fail", {"token": token(), "delay_ms": 3600000})[0], 204)
        self.assertEqual(self.http("GET", f"/v1/jobs/{identity}")[1]["state"], "scheduled")
        self.assertEqual(self.http("POST", "/v1/queues/work/kick", {"state": "scheduled"}), (200, {"kicked": 1}))
        self.assertEqual(self.http("DELETE", f"/v1/jobs/{identity}")[0], 204)
        self.problem(404, "no job", "DELETE", f"/v1/jobs/{identity}")
        self.problem(404, "no job", "POST", f"/v1/jobs/{identity}/retry")

    def test_http_queues(self):
        self.http("POST", "/v1/queues/work/jobs", {"payload": 1, "delay_ms": 3600000})
        queue = self.http("GET", "/v1/queues/work")[1]
        self.assertEqual((queue["name"], queue["scheduled"], queue["paused"], queue["reachable"]),
                         ("work", 1, False, True))
        self.assertIn("work", [one["name"] for one in self.http("GET", "/v1/queues")[1]["queues"]])
        self.assertEqual(self.http("POST", "/v1/queues/work/pause"), (200, {"paused": True, "changed": True}))
        self.assertEqual(self.http("POST", "/v1/queues/work/pause"), (200, {"paused": True, "changed": False}))
        self.assertEqual(self.http("POST", "/v1/queues/work/resume"), (200, {"paused": False, "changed": True}))
        self.assertEqual(self.http("POST", "/v1/queues/work/purge?state=scheduled"), (200, {"removed": 1}))

    def test_http_who_is_wrong_is_told(self):
        jobs = "/v1/queues/work/jobs"
        said = self.problem(404, "nosuch|no such", "POST", "/v1/queues/nosuch/jobs", {"payload": 1})
        self.assertEqual(said["code"], "NOQUEUE")
        self.problem(404, ".", "GET", "/v1/queues/nosuch")
        self.problem(404, ".", "POST", "/v1/queues/nosuch/reserve", {})
        self.problem(404, ".", "GET", "/v1/jobs/nosuch.64")
        self.problem(400, "no JSON", "POST", jobs, "{")
        self.problem(400, "no JSON", "POST", jobs, "")
        self.problem(400, "no JSON", "POST", jobs, "7")
        self.problem(400, "payload: it is missing", "POST", jobs, {})
        self.problem(400, "'dealy_ms' is unknown here: there are kind", "POST", jobs, {"payload": 1, "dealy_ms": 5})
        self.problem(400, "priority: expected a whole number from 0 to 9", "POST", jobs, {"payload": 1, "priority": 10})
        self.problem(400, "priority: expected", "POST", jobs, {"payload": 1, "priority": 1.5})
        self.problem(400, "kind: expected a string", "POST", jobs, {"payload": 1, "kind": 5})
        self.problem(400, "attempts", "POST", jobs, {"payload": 1, "attempts": 0})
        self.problem(400, "do not go together", "POST", jobs, {"payload": 1, "delay_ms": 5, "at_ms": 5})
        self.problem(400, "that is no base64", "POST", jobs, {"payload": "?", "payload_encoding": "base64"})
        self.problem(400, "that is no base64", "POST", jobs, {"payload": "a", "payload_encoding": "base64"})
        self.problem(400, "a string of base64", "POST", jobs, {"payload": 5, "payload_encoding": "base64"})
        self.problem(400, "json or base64", "POST", jobs, {"payload": 5, "payload_encoding": "hex"})
        self.problem(400, "a list of 1 to 1000", "POST", jobs, [])
        self.problem(400, "a list of 1 to 1000", "POST", jobs, [{"payload": 1}] * 1001)
        self.problem(400, r"\[1\]\.payload: it is missing", "POST", jobs, [{"payload": 1}, {}])
        self.problem(400, r"\[0\]\.expected an object", "POST", jobs, [5])
        self.problem(400, "given twice", "POST", jobs + "?kind=a", {"payload": 1, "kind": "b"})
        self.problem(400, "takes no parameter", "POST", jobs + "?colour=a", {"payload": 1})
        self.problem(400, "priority", "POST", jobs + "?raw=1&priority=x", b"x")
        self.problem(400, "count", "POST", "/v1/queues/work/reserve", {"count": 0})
        self.problem(400, "wait_ms", "POST", "/v1/queues/work/reserve", {"wait_ms": -1})
        self.problem(400, "no JSON object", "POST", "/v1/queues/work/reserve", "[")
        self.problem(400, "at most 16", "POST", "/v1/queues/" + ",".join(["work"] * 17) + "/reserve", {})
        self.problem(400, "token: it is missing", "POST", "/v1/jobs/work.64/ack", {})
        self.problem(400, "token: it is missing", "POST", "/v1/jobs/work.64/fail")
        self.problem(400, "token: expected", "POST", "/v1/jobs/work.64/ack", {"token": "x"})
        self.problem(400, "text: it is missing", "POST", "/v1/jobs/work.64/progress", {"token": 5})
        self.problem(400, "permanent: expected true", "POST", "/v1/jobs/work.64/fail", {"token": 5, "permanent": "yes"})
        self.problem(400, "no id of a job", "GET", "/v1/jobs/work")
        self.problem(400, "no id of a job", "GET", "/v1/jobs/work.1/2")
        self.problem(400, "no id of a job", "POST", "/v1/jobs/x/ack", {"token": 5})
        self.problem(400, "state: expected", "GET", jobs + "?state=gone")
        self.problem(400, "after: expected", "GET", jobs + "?after=x")
        self.problem(400, "state: it is missing", "POST", "/v1/queues/work/purge")
        self.problem(400, "scheduled or dead", "POST", "/v1/queues/work/kick", {"state": "ready"})
        self.problem(400, "a list of 1 to 1000", "POST", "/v1/queues/work/ack", {"jobs": []})
        self.problem(400, "a list of 1 to 1000", "POST", "/v1/queues/work/ack", {})
        self.problem(400, r"jobs\[0\]\.token: it is missing", "POST", "/v1/queues/work/ack", {"jobs": [{"id": "work.1"}]})
        self.problem(400, "no job of this queue", "POST", "/v1/queues/work/ack", {"jobs": [{"id": "other.1", "token": 1}]})
        self.problem(400, "objects with id", "POST", "/v1/queues/work/ack", {"jobs": [5]})
        status, headers, _ = self.server.http("PUT", jobs)
        self.assertEqual((status, "POST" in headers["Allow"], "GET" in headers["Allow"]), (405, True, True))
        self.assertEqual(rows([self.ask("FB.QUEUE", "work")])[0]["ready"], 0)

    def test_http_bodies_that_are_nested_too_deep(self):
        for depth, status in ((100, 201), (2000, 400), (100000, 400)):
            deep = "[" * depth + "]" * depth
            self.assertEqual(self.http("POST", "/v1/queues/work/jobs", '{"payload": %s}' % deep)[0], status)
        for path in ("/v1/invalidate", "/v1/limits/check", "/v1/mail/otp", "/v1/otp/issue", "/v1/queues/work/ack"):
            self.problem(400, "nested deeper than 128", "POST", path, '{"keys": %s}' % deep)
        self.problem(400, "unknown", "POST", "/v1/invalidate", '{"a\\"b": "%s"}' % ("[" * 1000))
        status, said = self.http("POST", "/v1/queues/work/jobs?raw=1", deep)
        self.assertEqual(status, 201)
        self.assertEqual(self.http("GET", f"/v1/jobs/{said['id']}")[1]["payload_encoding"], "base64")

    def test_figures(self):
        identity = self.ask("FB.ENQUEUE", "work", "x")
        ((_, token, *_),) = self.reserve("work")
        self.ask("FB.FAIL", "work", identity, token, "ERROR", 'a "quoted"\\reason', "PERMANENT")

        def shown():
            text = self.server.http("GET", "/metrics")[2].decode()
            looked = ('forebay_queue_jobs{queue="work",state="dead"} 1\n',
                      f'forebay_queue_up{{queue="work",store="{self.store}"}} 1\n')  # which is not long ago
            return text if all(one in text for one in looked) else None
        text = until(shown, "a look at the queue")
        self.assertRegex(text, r'forebay_queue_enqueued_total\{queue="work"\} [1-9]')
        self.assertRegex(text, r'forebay_queue_ready_jobs\{queue="work",priority="5"\} 0')
        self.assertRegex(text, r'forebay_queue_up\{queue="work",store="\w+"\} 1')
        self.assertRegex(text, r'forebay_queue_run_seconds_count\{queue="work"\} [1-9]')
        self.assertIn(r'reason="a \"quoted\"\\reason"', text)
        for line in text.splitlines():
            self.assertRegex(line, r'\A(# (HELP|TYPE) forebay_\w+ .+|forebay_\w+(\{.*\})? [-+.\de]+)\Z')

    # ---- the command line

    def cli(self, *words, status=0, **options):
        done = self.server.cli("jobs", *words, **options)
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        return done.stdout if status < 2 else done.stderr

    def test_cli_a_job_from_a_shell(self):
        identity = self.cli("enqueue", "work", '{"a":1}', "--kind", "monthly", "--priority", 2).strip()
        shown = self.cli("show", identity)
        self.assertRegex(shown, r"(?m)^state +ready$")
        self.assertRegex(shown, r'(?m)^payload +\{"a":1\}$')
        self.assertRegex(shown, r"(?m)^enqueued +\d{4}-\d\d-\d\d \d\d:\d\d:\d\d$")
        self.assertEqual(json.loads(self.cli("show", identity, "--json"))["priority"], 2)
        self.assertRegex(self.cli("list", "work"), rf"{identity} +ready +2 +0/2 +since .* monthly")
        self.assertEqual(self.cli("cancel", identity), "1 job\n")
        self.assertEqual(self.cli("cancel", identity, status=1), "0 jobs\n")
        self.cli("show", identity, status=1)

    def test_cli_payloads_from_standard_input_and_times(self):
        identity = self.cli("enqueue", "work", "-", "--at", "2100-01-01T00:00:00Z", "--lease", "30s", "--expires", "1d",
                            "--attempts", 9, "--unique", "once", stdin="from a pipe").strip()
        job = self.job(identity)
        self.assertEqual((job["payload"], job["due_ms"], job["lease_ms"], job["attempts"]),
                         ("from a pipe", 4102444800000, 30000, 9))
        self.assertEqual(self.cli("enqueue", "work", "x", "--unique", "once").strip(), identity)
        self.assertRegex(self.cli("list", "work", "--state", "scheduled"), "in +2[67]")
        self.cli("enqueue", "work", "x", "--delay", "1h", "--count", 5, status=2)
        for wrong in (("--delay", "soon"), ("--at", "tomorrow"), ("--lease", "0s"), ("--priority", "x")):
            self.cli("enqueue", "work", "x", *wrong, status=4 if wrong[0] == "--priority" else 2)

    def test_cli_dead_jobs(self):
        identity = self.ask("FB.ENQUEUE", "work", "x")
        ((_, token, *_),) = self.reserve("work")
        self.ask("FB.FAIL", "work", identity, token, "PERMANENT", "ERROR", "no such\nfile")
        self.assertRegex(self.cli("list", "work", "--state", "dead"), r"dead .* permanent: no such file")
        self.assertRegex(self.cli("show", identity), r"(?m)^error +no such file$")
        self.assertEqual(self.cli("retry", "work"), "1 job\n")
        self.assertEqual(self.cli("retry", "work", status=1), "0 jobs\n")
        self.assertEqual(self.cli("retry", identity), "1 job\n")
        self.assertEqual(self.cli("purge", "work", "ready"), "1 job\n")
        self.cli("purge", "work", "gone", status=4)

    def test_cli_shows_no_commands_to_a_terminal(self):
        identity = self.ask("FB.ENQUEUE", "work", b"\x1b[2Jx\0y", "UNIQ", b"\x1b[2J")
        shown = self.cli("show", identity)
        self.assertNotIn("\x1b", shown)
        self.assertIn("7 bytes that are no text", shown)
        self.assertIn(r"\u001b[2Jx\u0000y", self.cli("show", identity, "--json"))
        self.cli("enqueue", "work", "x")
        self.assertIn(f"(more: --state ready --after {identity})",
                      self.cli("list", "work", "--state", "ready", "--count", 1))
        self.cli("purge", "work", "ready")

    def test_cli_queues(self):
        self.assertEqual(self.cli("pause", "work"), "work is paused\n")
        self.assertEqual(self.cli("pause", "work"), "work is paused already\n")
        until(lambda: "PAUSED" in self.cli("list"), "a look at the queue")
        self.assertEqual(self.cli("resume", "work"), "work is running\n")
        lines = self.cli("list").splitlines()
        self.assertRegex(lines[0], r"\Aqueue +store +ready +scheduled +leased +dead +oldest")
        self.assertEqual({line.split()[1] for line in lines[1:]}, {self.store}, lines)
        self.assertEqual([one["name"] for one in json.loads(self.cli("list", "--json"))][:2], ["default", "mail"])
        self.cli("pause", "nosuch", status=4)
        self.cli("list", "nosuch", status=4)
        self.cli("explode", status=2)
        self.cli("show", status=2)
        self.cli("list", "--kind", "x", status=2)
        self.cli("list", "work", "--count", 0, status=2)
        self.cli("list", "work", "--json", status=2)
        done = run("help", "jobs")
        self.assertIn("enqueue QUEUE PAYLOAD", done.stdout)

    def test_cli_top(self):
        lines = self.cli("top", "--count", 2).splitlines()
        self.assertRegex(lines[0], r"\Atime +queue +in/s")
        self.assertEqual(len([line for line in lines if " work " in line]), 2)
        self.cli("top", "--count", "x", status=2)
        done = run("jobs", "top", "--url", "127.0.0.1:1")
        self.assertEqual(done.returncode, 3)


class OverTheJournal(Doors, TestCase):
    def test_a_stop_answers_who_waits(self):
        with Server(QUEUES) as server:
            connection = server.socket()
            connection.sendall(command("FB.RESERVE", "work", "BLOCK", 0))
            web = http.client.HTTPConnection("127.0.0.1", server.http_port, timeout=PATIENCE)
            web.request("POST", "/v1/queues/work/reserve", json.dumps({"wait_ms": 3600000}))
            with server.redis() as client:
                until(lambda: client.info("clients")["blocked_clients"] == 2, "both to wait")
            server.send_signal(signal.SIGTERM)
            self.assertEqual(Replies(connection).next(), [])
            answer = web.getresponse()
            self.assertEqual((answer.status, json.load(answer)), (200, {"jobs": []}))
            web.close()
            connection.close()
            self.assertEqual(server.wait(), 0)

    def test_jobs_are_there_after_a_crash(self):
        folder = self.home / "crash"
        folder.mkdir()
        first = Server(QUEUES, folder=folder).start()
        with first.redis() as client:
            names = client.execute_command("FB.MENQUEUE", "work", "PAYLOADS", "a", "b")
            client.execute_command("FB.QUEUE", "work", "PAUSE")
        first.process.kill()
        first.wait()
        with Server(QUEUES, folder=folder) as second:
            with second.redis() as client:
                self.assertEqual(client.execute_command("FB.RESERVE", "work", "COUNT", 5), [])
                client.execute_command("FB.QUEUE", "work", "RESUME")
                got = client.execute_command("FB.RESERVE", "work", "COUNT", 5)
                self.assertEqual([row[0] for row in got], names)

    def test_health_is_red_while_the_journal_cannot_be_written(self):
        status, said = self.http("GET", "/healthz")
        self.assertEqual((status, said["status"], said["queues"]), (200, "ok", "ok"))
        server = Server(QUEUES)
        server.command = ["prlimit", "--fsize=600000", *server.command]
        try:
            server.start()
            with server.redis() as client:
                def refused():
                    try:
                        client.execute_command("FB.ENQUEUE", "work", "x" * 50000)
                    except redis.ResponseError as error:
                        return str(error)
                self.assertRegex(until(refused, "no room left"), r"\A(IOERR|FULL) ")
                status, _, body = server.http("GET", "/healthz")
                said = json.loads(body)
                self.assertEqual((status, said["status"], said["queues"]), (503, "failing", "failing"))
                self.assertTrue(said["reason"])
                self.assertTrue(client.execute_command("FB.RESERVE", "work"))  # what is there is worked on
            self.assertEqual(server.stop(), 0)
        finally:
            server.remove()


@unittest.skipUnless(HAS_REDIS, "there is no redis-server")
class OverRedis(Doors, TestCase):
    store = "redis"

    @classmethod
    def begin(cls):
        cls.peer = Redis(cls.home, lines="appendonly yes\n").start()
        cls.addClassCleanup(cls.peer.kill)
        return QUEUES + f"redis: {{url: '{cls.peer.url}', connect_timeout: 60s}}\n"


if __name__ == "__main__":
    main()
