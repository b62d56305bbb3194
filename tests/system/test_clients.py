#!/usr/bin/python3
"""Programs written for Redis, unchanged: redis-py, redis-cli, redis-benchmark."""

import pathlib
import shutil
import subprocess
import tempfile
import threading
import unittest

import redis

from forebay import PATIENCE, ROOT, Server, TestCase, clean_environment, main


class SessionStore:
    """What an application has had for years: nothing in it knows of forebay."""

    def __init__(self, host, port):
        self.redis = redis.Redis(host=host, port=port, db=0, decode_responses=True)

    def begin(self, name, user):
        self.redis.set(f"session:{name}", user, ex=60)
        return self.redis.incr("sessions:begun")

    def user(self, name):
        return self.redis.get(f"session:{name}")

    def keep(self, name):
        return self.redis.expire(f"session:{name}", 600)

    def end(self, name):
        return self.redis.delete(f"session:{name}") == 1

    def is_open(self, name):
        return self.redis.exists(f"session:{name}") == 1

    def names(self):
        return sorted(key.split(":", 1)[1] for key in self.redis.scan_iter("session:*"))


class RedisPy(TestCase):
    def test_an_existing_program_works_unchanged(self):
        with Server() as server:
            store = SessionStore("127.0.0.1", server.resp_port)
            self.assertIsNone(store.user("a"))
            self.assertEqual([store.begin(name, f"user of {name}") for name in "abc"], [1, 2, 3])
            self.assertEqual(store.user("b"), "user of b")
            self.assertTrue(50 < store.redis.ttl("session:b") <= 60)
            self.assertTrue(store.keep("b"))
            self.assertTrue(590 < store.redis.ttl("session:b") <= 600)
            self.assertFalse(store.keep("nobody"))
            self.assertEqual(store.names(), ["a", "b", "c"])
            self.assertTrue(store.is_open("c"))
            self.assertTrue(store.end("c"))
            self.assertFalse(store.end("c"))
            self.assertFalse(store.is_open("c"))
            self.assertEqual(store.names(), ["a", "b"])

    def test_scan_finds_every_key_once_among_thousands(self):
        with Server() as server, server.redis() as client:
            names = {f"item:{i}" for i in range(5000)}
            with client.pipeline(transaction=False) as pipeline:
                for name in names:
                    pipeline.set(name, "x")
                pipeline.set("other", "x")
                pipeline.execute()
            self.assertEqual(set(client.scan_iter("item:*", count=100)), names)
            self.assertEqual(client.dbsize(), 5001)

    def test_values_are_bytes_and_stay_as_they_are(self):
        with Server() as server, redis.Redis(port=server.resp_port) as client:
            for value in (b"", b"\x00\r\n\xff", b"{\"a\": 1}", bytes(range(256)) * 5000):
                client.set("key", value)
                self.assertEqual(client.get("key"), value)

    def test_a_key_expires(self):
        with Server() as server, server.redis() as client:
            client.set("brief", "x", px=1)
            # No sleep: PTTL says when it is over, and a read never sees it later.
            while client.pttl("brief") >= 0:
                pass
            self.assertIsNone(client.get("brief"))

    def test_incr_of_many_clients_loses_none(self):
        with Server() as server:
            def count():
                with server.redis() as client:
                    for _ in range(200):
                        client.incr("counter")
            threads = [threading.Thread(target=count) for _ in range(10)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            with server.redis() as client:
                self.assertEqual(client.get("counter"), "2000")

    def test_pipelines_as_redis_py_makes_them(self):
        """Without transaction=False redis-py sends MULTI and EXEC around a pipeline."""
        with Server() as server, server.redis() as client:
            with client.pipeline() as pipeline:
                pipeline.set("a", 1, ex=60).incr("a").get("a").ttl("a").get("none")
                pipeline.execute_command("FB.FETCH", "fruit", "name", "plum")
                pipeline.delete("a", "none").exists("a")
                said = pipeline.execute()
                self.assertTrue(50 < said.pop(3) <= 60)
                self.assertEqual(said,
                                 [True, 2, "2", None, '{"name":"plum","price":2.25,"colour":"blue"}', 1, 0])
                # It may be used again.
                self.assertEqual(pipeline.mset({"b": 1, "c": "x"}).mget("b", "c").execute(),
                                 [True, ["1", "x"]])
            with client.pipeline() as pipeline:
                pipeline.set("d", 1).incr("c").get("d")
                with self.assertRaisesRegex(redis.ResponseError, "Command # 2.*not an integer"):
                    pipeline.execute()
                self.assertEqual(client.get("d"), "1")
            with client.pipeline() as pipeline:
                pipeline.set("e", 1).execute_command("NOSUCH")
                with self.assertRaisesRegex(redis.ResponseError, "unknown command"):
                    pipeline.execute()
                self.assertIsNone(client.get("e"))
            with client.pipeline() as pipeline:
                pipeline.watch("d")
                pipeline.multi()
                pipeline.set("d", 3)
                self.assertEqual(pipeline.execute(), [True])
                pipeline.watch("d")
                client.set("d", "another's")
                pipeline.multi()
                pipeline.set("d", 4)
                with self.assertRaises(redis.WatchError):
                    pipeline.execute()
                self.assertEqual(client.get("d"), "another's")

    def test_a_pipeline_of_many_fetches(self):
        with Server() as server, server.redis() as client:
            for transaction in (True, False):
                with client.pipeline(transaction=transaction) as pipeline:
                    for i in range(1500):
                        pipeline.execute_command("FB.FETCH", "list", "colour", f"{transaction}:{i}")
                    pipeline.get("none")
                    self.assertEqual(pipeline.execute(), ["[]"] * 1500 + [None])

    def test_a_pipeline_larger_than_all_buffers(self):
        """redis-py writes all of a pipeline before it reads the first reply."""
        value = "v" * 1000
        with Server() as server, server.redis(socket_timeout=PATIENCE) as client:
            client.set("key", value)
            with client.pipeline(transaction=False) as pipeline:
                for _ in range(60000):
                    pipeline.get("key")
                self.assertEqual(pipeline.execute(), [value] * 60000)
            with client.pipeline() as pipeline:
                for i in range(30000):
                    pipeline.set(f"key:{i}", value).get(f"key:{i}")
                self.assertEqual(pipeline.execute(), [True, value] * 30000)

    def test_a_key_at_random(self):
        with Server() as server, server.redis() as client:
            self.assertIsNone(client.randomkey())
            client.mset({f"key:{i}": i for i in range(50)})
            seen = {client.randomkey() for _ in range(300)}
            self.assertTrue(20 < len(seen) <= 50)
            self.assertTrue(all(client.exists(key) for key in seen))

    def test_what_redis_py_reads_about_the_server(self):
        with Server() as server, server.redis() as client:
            client.set("key", "x")
            commands = client.command()
            self.assertEqual(len(commands), client.command_count())
            self.assertEqual(commands["mset"]["step_count"], 2)
            self.assertEqual(client.command_getkeys("MSET", "a", "1", "b", "2"), ["a", "b"])
            self.assertEqual(client.info()["redis_version"], "7.0.15")
            self.assertEqual(client.info("keyspace")["db0"]["keys"], 1)
            self.assertEqual(client.client_list()[0]["cmd"], "client|list")
            self.assertEqual(client.config_get("max*")["maxmemory-policy"], "allkeys-lfu")
            self.assertEqual(client.object("encoding", "key"), "embstr")
            self.assertGreater(client.memory_usage("key"), 4)

    def test_fetch_and_invalidate_are_commands_like_others(self):
        with Server() as server, server.redis() as client:
            self.assertEqual(client.execute_command("FB.FETCH", "fruit", "name", " Apple "),
                             '{"name":"apple","price":1.5,"colour":"red"}')
            self.assertEqual(client.get("fruit:apple"), '{"name":"apple","price":1.5,"colour":"red"}')
            self.assertIsNone(client.execute_command("FB.FETCH", "fruit", "name", "stone"))
            client.execute_command("FB.INVALIDATE", "TAG", "colour:red")
            self.assertIsNone(client.get("fruit:apple"))
            with self.assertRaisesRegex(redis.ResponseError, "there is no class"):
                client.execute_command("FB.FETCH", "nothing")

    def test_the_example_runs(self):
        with Server() as server:
            done = subprocess.run(["/usr/bin/python3", ROOT / "examples/sessions.py", server.url],
                                  capture_output=True, text=True, timeout=PATIENCE,
                                  env=clean_environment())
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIn("ada", done.stdout)


@unittest.skipUnless(shutil.which("redis-cli"), "no redis-cli")
class RedisCli(TestCase):
    def ask(self, server, *words, stdin=None):
        return subprocess.run(["redis-cli", "-p", str(server.resp_port), *words], text=True,
                              capture_output=True, input=stdin, timeout=PATIENCE).stdout.strip()

    def test_commands_and_what_is_no_command(self):
        with Server() as server:
            self.assertEqual(self.ask(server, "ping"), "PONG")
            self.assertEqual(self.ask(server, "set", "a", "hello world"), "OK")
            self.assertEqual(self.ask(server, "get", "a"), "hello world")
            self.assertEqual(self.ask(server, "--raw", "strlen", "a"), "11")
            self.assertIn("unknown command", self.ask(server, "nonsense"))
            self.assertIn("forebay_version:", self.ask(server, "info", "server"))
            self.assertIn("fruit", self.ask(server, "fb.stats"))
            self.assertEqual(self.ask(server, "-3", "fb.fetch", "fruit", "name", "lemon"),
                             '{"name":"lemon","price":0.5,"colour":"yellow"}')

    def test_commands_from_a_pipe(self):
        with Server() as server:
            lines = "".join(f"SET key:{i} {i}\n" for i in range(1000)) + "DBSIZE\n"
            self.assertEqual(self.ask(server, stdin=lines).splitlines()[-1], "1000")

    def test_mass_insertion(self):
        with Server() as server:
            lines = "".join(f"SET key:{i} {i}\r\n" for i in range(10000))
            self.assertIn("errors: 0, replies: 10000", self.ask(server, "--pipe", stdin=lines))

    def test_bigkeys_and_scan_walk_through(self):
        with Server() as server:
            self.ask(server, stdin="".join(f"SET key:{i} {i}\n" for i in range(300)))
            self.assertEqual(len(self.ask(server, "--scan").splitlines()), 300)
            self.assertIn("Sampled 300 keys", self.ask(server, "--bigkeys"))


@unittest.skipUnless(shutil.which("redis-benchmark"), "no redis-benchmark")
class RedisBenchmark(TestCase):
    def test_it_runs_to_its_end(self):
        with Server() as server:
            done = subprocess.run(["redis-benchmark", "-p", str(server.resp_port), "-q", "-n", "20000",
                                   "-P", "16", "-r", "1000", "-t", "ping,set,get,incr,mset"],
                                  capture_output=True, text=True, timeout=PATIENCE)
            self.assertEqual(done.returncode, 0, done.stderr)
            out = done.stdout.replace("\r", "\n")
            for name in ("PING_INLINE", "PING_MBULK", "SET", "GET", "INCR", "MSET (10 keys)"):
                self.assertRegex(out, rf"(?m)^{name.replace('(', '.').replace(')', '.')}: [\d.]+ requests per")
            self.assertNotIn("rror", out + done.stderr)


def ioredis_folder(folder):
    """Where Node.js finds ioredis: with the benchmarks' peers, or installed by their lock file into
    `folder`. None: nowhere."""
    peers = ROOT / "bench/peers"
    if (peers / "node_modules/ioredis").is_dir():
        return peers / "node_modules"
    for name in ("package.json", "package-lock.json"):
        shutil.copy(peers / name, folder)
    try:
        done = subprocess.run(["npm", "ci", "--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund",
                               "--silent", "--cache", f"{folder}/cache"], cwd=folder,
                              stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE)
    except (OSError, subprocess.TimeoutExpired):
        return None
    there = pathlib.Path(folder) / "node_modules"
    return there if done.returncode == 0 and (there / "ioredis").is_dir() else None


@unittest.skipUnless(shutil.which("node") and shutil.which("npm"), "no Node.js with npm")
class IORedis(TestCase):
    def test_an_existing_program_works_unchanged(self):
        with tempfile.TemporaryDirectory() as folder:
            modules = ioredis_folder(folder)
            if modules is None:
                self.skipTest("ioredis is not in bench/peers, and npm cannot get it here")
            with Server() as server:
                done = subprocess.run(["node", ROOT / "tests/system/ioredis_program.js",
                                       str(server.resp_port)], capture_output=True, text=True,
                                      timeout=PATIENCE,
                                      env=clean_environment() | {"NODE_PATH": str(modules)})
                self.assertEqual((done.returncode, done.stdout), (0, "fine\n"), done.stderr)


if __name__ == "__main__":
    main()
