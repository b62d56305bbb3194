#!/usr/bin/python3
"""Jobs and workers as users see them: workers that die or stop, order under a backlog, a daemon that is told to
stop, an HTTP endpoint as a worker, a queue that moves between the journal and Redis."""

import hashlib
import hmac
import http.server
import json
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import unittest

import redis

from forebay import ROOT, Server, TestCase, main
from shared import HAS_REDIS, Stage, until

QUEUE = """
queue: {{file: queue.db, timeout: 60s}}
queues:
  work: {{attempts: 3, lease: {lease}, retry_delay: 10ms, retry_max: 20ms}}
{more}
"""
# A worker by itself: takes one job, says so, and does what it is told.
WORKER = """
import os, signal, sys, redis
port, then = int(sys.argv[1]), sys.argv[2]
client = redis.Redis(port=port, decode_responses=True)
while True:
    for identity, token, attempt, kind, payload in client.execute_command("FB.RESERVE", "work", "BLOCK", 500):
        print(identity, token, attempt, payload, flush=True)
        if then == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        sys.stdin.readline()
        try:
            print("result", client.execute_command("FB.ACK", "work", identity, token), flush=True)
        except redis.RedisError as error:
            print("error", error, flush=True)
"""


def queue(lease="300s", more=""):
    return QUEUE.format(lease=lease, more=more)


def fields(answer):
    return answer if isinstance(answer, dict) else dict(zip(answer[::2], answer[1::2]))


class Worker:
    def __init__(self, server, then):
        self.process = subprocess.Popen([sys.executable, "-c", WORKER, str(server.resp_port), then],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def line(self):
        return self.process.stdout.readline().split(maxsplit=3)

    def go_on(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


class Workers(TestCase):
    def test_a_job_that_kills_its_worker_is_dead_after_its_attempts(self):
        with Server(queue(lease="1s")) as server, server.redis() as client:
            poison = client.execute_command("FB.ENQUEUE", "work", "poison")
            attempts = []
            for _ in range(3):
                with Worker(server, "die") as worker:
                    attempts.append(worker.line()[2])
                    worker.process.wait()
            # Nobody reserves: it is found dead nevertheless.
            job = until(lambda: (lambda one: one if one["state"] == "dead" else None)(
                fields(client.execute_command("FB.JOB", poison))), "a dead job")
            self.assertEqual(attempts, ["1", "2", "3"])
            self.assertEqual((int(job["attempt"]), job["end"]), (3, "abandoned"))
            self.assertEqual(client.execute_command("FB.RESERVE", "work"), [])
            self.assertEqual([fields(one)["id"] for one in client.execute_command("FB.DEAD", "work")], [poison])

    def test_a_worker_that_was_stopped_past_its_lease_changes_nothing(self):
        with Server(queue(lease="1s")) as server, server.redis() as client, Worker(server, "wait") as first:
            identity = client.execute_command("FB.ENQUEUE", "work", "slow")
            self.assertEqual(first.line()[0], identity)
            first.process.send_signal(signal.SIGSTOP)
            # Another one gets it when the lease is over, for as long as this may take.
            job = client.execute_command("FB.RESERVE", "work", "BLOCK", 60000, "LEASE", 300000)[0]
            self.assertEqual((job[0], int(job[2])), (identity, 2))
            first.process.send_signal(signal.SIGCONT)
            first.go_on()
            self.assertRegex(" ".join(first.line()), r"\Aerror LEASELOST")
            self.assertIn(client.execute_command("FB.ACK", "work", identity, job[1]), (1, [1]))

    def test_the_most_urgent_comes_first_whatever_waits(self):
        with Server(queue()) as server, server.redis() as client:
            for start in range(0, 5000, 500):
                client.execute_command("FB.MENQUEUE", "work", "PRI", 9, "PAYLOADS",
                                       *(f"low-{number}" for number in range(start, start + 500)))
            for number in range(30):
                client.execute_command("FB.ENQUEUE", "work", f"high-{number}", "PRI", 0)
            payloads = [job[4] for job in client.execute_command("FB.RESERVE", "work", "COUNT", 100)]
            # After 8 of the urgent ones, one of those that were passed over.
            high = [payload for payload in payloads if payload.startswith("high")]
            low = [payload for payload in payloads if payload.startswith("low")]
            self.assertEqual(high, [f"high-{number}" for number in range(30)])
            self.assertEqual(low, [f"low-{number}" for number in range(70)])
            self.assertEqual([payload[0] for payload in payloads[:18]], (["h"] * 8 + ["l"]) * 2)

    def test_many_workers_never_share_a_job(self):
        with Server(queue()) as server:
            taken, lock = [], threading.Lock()

            def work():
                with server.redis() as client:
                    while jobs := client.execute_command("FB.RESERVE", "work", "COUNT", 7, "BLOCK", 100):
                        with lock:
                            taken.extend(job[0] for job in jobs)
                        client.execute_command("FB.ACK", "work", *(word for job in jobs for word in job[:2]))
            with server.redis() as client:
                accepted = [identity for start in range(0, 2000, 100) for identity in client.execute_command(
                    "FB.MENQUEUE", "work", "PAYLOADS", *map(str, range(start, start + 100)))]
            threads = [threading.Thread(target=work) for _ in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            self.assertEqual(sorted(taken), sorted(accepted))

    def test_a_reserve_that_waits_hears_of_a_job_at_once_and_of_one_that_becomes_due(self):
        with Server(queue()) as server, server.redis() as client:
            got = []

            def wait():
                with server.redis() as other:
                    got.append(other.execute_command("FB.RESERVE", "work", "BLOCK", 120000))
            for extra in ([], ["DELAY", 300]):
                thread = threading.Thread(target=wait)
                thread.start()
                identity = client.execute_command("FB.ENQUEUE", "work", "x", *extra)
                thread.join()
                self.assertEqual(got.pop()[0][0], identity)


class Endpoint:
    """An application that does jobs by HTTP; `answer(headers, body)` gives (status, headers, text)."""

    def __init__(self, answer):
        owner = self
        self.posts = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                owner.posts.append((dict(self.headers), body))
                status, headers, text = answer(self.headers, body)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *_):
                pass
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}/jobs"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class Webhooks(TestCase):
    def endpoint(self, answer):
        endpoint = Endpoint(answer)
        self.addCleanup(endpoint.close)
        more = f"  hook: {{worker: webhook, url: '{endpoint.url}', secret: grain, concurrency: 3, attempts: 3, " \
               "retry_delay: 10ms, retry_max: 20ms, lease: 60s}"
        return endpoint, queue(more=more)

    def test_its_answer_decides(self):
        tries = {}

        def answer(headers, body):
            word = body.decode()
            tries[word] = tries.get(word, 0) + 1
            return {"good": (200, {}, "thanks"), "never": (422, {}, "no such user"), "broken": (500, {}, "oops"),
                    "later": (503, {"Retry-After": "1"}, "") if tries[word] == 1 else (204, {}, "")}[word]
        endpoint, config = self.endpoint(answer)
        with Server(config) as server, server.redis() as client:
            ids = {word: client.execute_command("FB.ENQUEUE", "hook", word, "KIND", "k")
                   for word in ("good", "never", "broken", "later")}

            def states():
                found = {}
                for word, identity in ids.items():
                    try:
                        job = fields(client.execute_command("FB.JOB", identity) or [])
                    except redis.ResponseError:
                        job = {}
                    found[word] = job.get("state"), job.get("end"), job.get("error", "")
                return found
            until(lambda: [state[0] for state in states().values()] == [None, "dead", "dead", None], "all to be settled")
            settled = states()
            self.assertEqual(settled["never"][1], "permanent")
            self.assertIn("no such user", settled["never"][2])
            self.assertEqual(settled["broken"][1], "attempts")
            self.assertEqual(tries, {"good": 1, "never": 1, "broken": 3, "later": 2})
            headers, body = next(post for post in endpoint.posts if post[1] == b"good")
            signed = hmac.new(b"grain", headers["X-Forebay-Timestamp"].encode() + b"." + body, hashlib.sha256)
            self.assertEqual(headers["X-Forebay-Signature"], "sha256=" + signed.hexdigest())
            self.assertEqual((headers["X-Forebay-Id"], headers["X-Forebay-Kind"], headers["X-Forebay-Attempt"]),
                             (ids["good"], "k", "1"))

    def test_a_stop_under_load_loses_nothing_and_burns_no_attempts(self):
        gate, begun, ended = threading.Event(), threading.Semaphore(0), threading.Event()

        def answer(headers, body):
            begun.release()
            if gate.is_set():
                ended.wait(0.5)  # a few may begin before the workers hear of it; never all of them
            gate.wait(60)
            return 200, {}, ""
        endpoint, config = self.endpoint(answer)
        config += "drain: 60s\n"
        folder = pathlib.Path(tempfile.mkdtemp(prefix="forebay-test."))
        self.addCleanup(shutil.rmtree, folder, True)
        with Server(config, folder=folder) as server:
            with server.redis() as client:
                ids = client.execute_command("FB.MENQUEUE", "hook", "PAYLOADS", *map(str, range(60)))
            for _ in range(3):
                self.assertTrue(begun.acquire(timeout=60))
            server.send_signal(signal.SIGTERM)
            server.wait_for("stopping")
            gate.set()
            self.assertEqual(server.wait(), 0)
        ended.set()
        finished = {post[0]["X-Forebay-Id"] for post in endpoint.posts}
        with Server(config, folder=folder) as server:
            with server.redis() as client:
                until(lambda: not client.execute_command("FB.QUEUE", "hook", "LIST", "ready")
                      and not client.execute_command("FB.QUEUE", "hook", "LIST", "leased"), "an empty queue")
                self.assertEqual(client.execute_command("FB.DEAD", "hook"), [])
        jobs = [post[0]["X-Forebay-Id"] for post in endpoint.posts]
        self.assertEqual(sorted(jobs), sorted(ids))  # each once
        self.assertEqual({post[0]["X-Forebay-Attempt"] for post in endpoint.posts}, {"1"})
        self.assertLess(len(finished), 60)


class Moving(TestCase):
    @unittest.skipUnless(HAS_REDIS, "no redis-server here")
    def test_a_queue_moves_to_redis_and_back_with_all_that_is_in_it(self):
        folder = pathlib.Path(tempfile.mkdtemp(prefix="forebay-test."))
        self.addCleanup(shutil.rmtree, folder, True)
        with Stage() as stage:
            store = stage.redis(lines="appendonly yes\n")
            with Server(queue(), folder=folder) as server, server.redis() as client:
                ids = [identity for start in range(0, 2500, 500) for identity in client.execute_command(
                    "FB.MENQUEUE", "work", "PRI", 3, "PAYLOADS", *map(str, range(start, start + 500)))]
                later = client.execute_command("FB.ENQUEUE", "work", "later", "DELAY", 3600000, "UNIQ", "key")
                dead = client.execute_command("FB.ENQUEUE", "work", "dead", "PRI", 0)
                job = client.execute_command("FB.RESERVE", "work")[0]
                client.execute_command("FB.FAIL", "work", *job[:2], "PERMANENT", "ERROR", "never")
                leased = client.execute_command("FB.RESERVE", "work")[0]
            config = f"redis: {{url: '{store.url}', namespace: moving, connect_timeout: 60s}}\n" + queue()
            with Server(config, folder=folder) as server, server.redis() as client:
                status = server.cli("jobs", "move", "work")
                self.assertEqual(status.returncode, 0, status.stderr)
                self.assertIn("2502", status.stdout)
                self.assertIn(client.execute_command("FB.ACK", "work", *leased[:2]), (1, [1]))
                self.assertEqual(fields(client.execute_command("FB.JOB", later))["state"], "scheduled")
                self.assertEqual(client.execute_command("FB.ENQUEUE", "work", "again", "UNIQ", "key"), later)
                self.assertEqual(fields(client.execute_command("FB.JOB", dead))["error"], "never")
                taken = client.execute_command("FB.RESERVE", "work", "COUNT", 1000)
                self.assertEqual([one[0] for one in taken], ids[1:1001])
            config = config.replace("file: queue.db", "file: queue.db, store: journal")
            with Server(config, folder=folder) as server, server.redis() as client:
                status = server.cli("jobs", "move", "work")
                self.assertEqual(status.returncode, 0, status.stderr)
                for one in taken:
                    self.assertIn(client.execute_command("FB.ACK", "work", *one[:2]), (1, [1]))
                rest = []
                while jobs := client.execute_command("FB.RESERVE", "work", "COUNT", 1000):
                    rest += [one[0] for one in jobs]
                self.assertEqual(rest, ids[1001:])


class Partitions(TestCase):
    @unittest.skipUnless(HAS_REDIS, "no redis-server here")
    def test_of_a_list_each_job_is_told_its_own_end(self):
        with Stage() as stage:
            store = stage.redis(lines="appendonly yes\n")
            config = (f"redis: {{url: '{store.url}', namespace: parts, connect_timeout: 60s}}\n"
                      "queue: {timeout: 60s}\n"
                      "queues: {small: {partitions: 2, jobs_max: 2}}\n")
            with Server(config) as server, server.redis() as client:
                # Of three at least two have the same partition, which has room for one.
                for number in range(50):
                    jobs = [{"payload": 1, "unique": f"{number} {key}"} for key in "abc"]
                    status, _, body = server.http("POST", "/v1/queues/small/jobs", json.dumps(jobs))
                    if status == 201:
                        break
                told = json.loads(body)["jobs"]
                self.assertEqual(sorted(one["new"] for one in told), [False, False, True])
                self.assertEqual([one["error"] for one in told if not one["new"]], ["no room left"] * 2)
                for one in told:
                    self.assertEqual("id" in one, one["new"])
                jobs = client.execute_command("FB.QUEUE", "small", "LIST", "ready")
                self.assertEqual(len(jobs), 1)


class Away(TestCase):
    @unittest.skipUnless(HAS_REDIS, "no redis-server here")
    def test_without_its_redis_a_node_is_degraded_and_not_ill(self):
        with Stage() as stage:
            # What it has answered is on its disk, however slow that is.
            store = stage.redis(lines="appendonly yes\nappendfsync always\n")
            config = f"redis: {{url: '{store.url}', namespace: away, connect_timeout: 60s}}\n" + queue()
            with Server(config) as server, server.redis() as client:
                client.execute_command("FB.ENQUEUE", "work", "before")
                store.kill()
                with self.assertRaises(redis.ResponseError):
                    client.execute_command("FB.ENQUEUE", "work", "meanwhile")
                health = until(lambda: (lambda one: one if one["status"] != "ok" else None)(
                    server.get_json("/healthz")), "trouble")
                self.assertEqual((health["status"], health["queues"]), ("degraded", "failing"))
                store.start()
                until(lambda: server.get_json("/healthz")["status"] == "ok", "health")
                until(lambda: client.execute_command("FB.ENQUEUE", "work", "after"), "a job")
                payloads = [job[4] for job in client.execute_command("FB.RESERVE", "work", "COUNT", 9)]
                self.assertEqual((payloads[0], payloads[-1]), ("before", "after"))


class Examples(TestCase):
    @unittest.skipUnless((ROOT / "examples/worker.py").exists(), "no example yet")
    def test_the_worker_of_the_documentation_works(self):
        with Server(queue()) as server, server.redis() as client:
            process = subprocess.Popen([sys.executable, str(ROOT / "examples/worker.py"), str(server.resp_port)],
                                       stdout=subprocess.PIPE, text=True)
            try:
                client.execute_command("FB.ENQUEUE", "default", json.dumps({"name": "x"}), "KIND", "hello")
                self.assertIn("hello", process.stdout.readline())
                until(lambda: not client.execute_command("FB.QUEUE", "default", "LIST", "leased")
                      and not client.execute_command("FB.QUEUE", "default", "LIST", "ready"), "an empty queue")
            finally:
                process.terminate()
                process.wait()
                process.stdout.close()


if __name__ == "__main__":
    main()
