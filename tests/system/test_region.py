#!/usr/bin/python3
"""The memory tier in a file: who may read it, and what is there after a stop, a kill, a restart."""

import grp
import os
import pathlib
import resource
import shutil
import signal
import stat
import subprocess
import unittest

import redis

from forebay import CONFIG, Server, TestCase, main

SHARED = pathlib.Path("/dev/shm")


@unittest.skipUnless(SHARED.is_dir() and os.access(SHARED, os.W_OK), "no /dev/shm")
class Region(TestCase):
    def setUp(self):
        self.file = SHARED / f"forebay-test-{os.getpid()}-{self.id().rsplit('.', 1)[1]}"
        self.config = CONFIG + f"memory: 16MiB\nregion: {{file: {self.file}}}\n"
        self.addCleanup(self.clean)
        self.folder = None

    def clean(self):
        for ending in ("", ".hints", ".lock"):
            pathlib.Path(f"{self.file}{ending}").unlink(missing_ok=True)

    def server(self, *arguments, config=None, **options):
        """A server of the same folder as the first one, so that its database is the same."""
        server = Server(config=config or self.config, arguments=arguments, folder=self.folder, **options)
        if self.folder is None:
            self.folder, server.own_folder = server.folder, None
            self.addCleanup(shutil.rmtree, server.folder, ignore_errors=True)
        self.addCleanup(server.remove)
        return server

    def fill(self, server):
        with server.redis() as client:
            client.mset({f"key:{i}": f"value {i}" for i in range(500)})
            client.delete("key:7")
            for fruit in ("apple", "cherry", "plum", "lemon"):
                client.execute_command("FB.FETCH", "fruit", "name", fruit)
            client.execute_command("FB.INVALIDATE", "TAG", "colour:red")
            return client.mget("key:1", "fruit:plum", "fruit:apple")

    def check_kept(self, server, kept):
        with server.redis() as client:
            plain = client.mget(*(f"key:{i}" for i in range(500)))
            wanted = [f"value {i}" if i != 7 and kept else None for i in range(500)]
            self.assertEqual(plain, wanted)
            there = client.mget("fruit:plum", "fruit:lemon", "fruit:apple", "fruit:cherry")
            self.assertEqual([value is not None for value in there], [kept, kept, False, False])
            self.assertEqual(server.stats("fruit")["loads"], 0)
            # What was invalidated is asked for anew.
            self.assertIn("apple", client.execute_command("FB.FETCH", "fruit", "name", "apple"))
            self.assertEqual(server.stats("fruit")["loads"], 1)

    def test_the_region_and_its_socket_belong_to_the_user_alone(self):
        with self.server("--set", "listen.socket=fb.sock") as server:
            with server.redis() as client:
                flat = client.execute_command("FB.REGION")
                region = dict(zip(flat[::2], flat[1::2]))
            self.assertEqual(region["file"], str(self.file))
            self.assertEqual(region["hints"], f"{self.file}.hints")
            self.assertEqual(region["limit"], 16 << 20)
            self.assertEqual(region["socket"], str((server.folder / "fb.sock").resolve()))
            for path in (region["file"], region["hints"], region["socket"]):
                self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o600, path)
            with redis.Redis(unix_socket_path=region["socket"], decode_responses=True) as client:
                client.set("a", "1")
                self.assertEqual(client.execute_command("FB.KEY", "fruit", "name", " Plum "), "fruit:plum")
            with server.redis() as client:
                self.assertEqual(client.get("a"), "1")
        self.assertFalse(self.file.exists())  # memory that nobody reads is given back
        self.assertFalse((self.folder / "fb.sock").exists())

    def test_a_group_may_read_and_connect_where_it_is_named(self):
        group = grp.getgrgid(os.getegid()).gr_name
        with self.server("--set", f"region.group={group}", "--set", "listen.socket=fb.sock") as server:
            modes = [stat.S_IMODE(os.stat(path).st_mode)
                     for path in (self.file, f"{self.file}.hints", server.folder / "fb.sock")]
            self.assertEqual(modes, [0o640, 0o660, 0o660])

    def test_without_a_file_the_memory_is_private(self):
        with self.server(config=CONFIG) as server, server.redis() as client:
            flat = client.execute_command("FB.REGION")
            region = dict(zip(flat[::2], flat[1::2]))
            self.assertIsNone(region["file"])
            self.assertIsNone(region["socket"])

    def test_killed_and_started_with_keep_memory_it_goes_on(self):
        for _ in range(3):  # killed while it sweeps a shard, it loses that: then once more
            first = self.server().start()
            self.fill(first)
            self.assertEqual(first.stop(signal.SIGKILL), -signal.SIGKILL)
            with self.server("--keep-memory") as second:
                kept = second.wait_for("region_kept")
                if kept["shards_dropped"] > 0:
                    continue
                self.assertGreaterEqual(kept["entries"], 501)
                self.check_kept(second, True)
            break
        self.assertEqual(kept["shards_dropped"], 0)
        self.assertTrue(self.file.exists())  # for the next one
        with self.server("--keep-memory") as third, third.redis() as client:
            self.assertEqual(client.get("key:1"), "value 1")
            self.assertIn("apple", client.get("fruit:apple"))

    def test_killed_and_started_without_it_is_empty(self):
        first = self.server().start()
        self.fill(first)
        self.assertEqual(first.stop(signal.SIGKILL), -signal.SIGKILL)
        with self.server() as second:
            self.check_kept(second, False)

    def test_a_query_that_changed_meanwhile_is_asked_anew(self):
        first = self.server().start()
        self.fill(first)
        first.stop(signal.SIGKILL)
        config = self.config.replace("SELECT name, price, colour FROM fruit", "SELECT name, colour FROM fruit")
        with self.server("--keep-memory", config=config) as second, second.redis() as client:
            self.assertEqual(client.get("key:1"), "value 1")
            self.assertIsNone(client.get("fruit:plum"))
            self.assertNotIn("price", client.execute_command("FB.FETCH", "fruit", "name", "plum"))

    def refused(self, *arguments, config=None):
        server = self.server(*arguments, config=config)
        with self.assertRaises(AssertionError):
            server.start()
        return server.wait(), server.log.lines[-1]

    def test_a_second_server_is_refused_with_the_number_of_the_first(self):
        with self.server() as first:
            with first.redis() as client:
                client.set("a", "1")
            status, said = self.refused()
            self.assertNotEqual(status, 0)
            self.assertIn(f"belongs to process {first.process.pid}", said)
            with first.redis() as client:
                self.assertEqual(client.get("a"), "1")

    def test_a_file_of_something_else_is_not_replaced(self):
        self.file.write_text("my only copy")
        status, said = self.refused()
        self.assertNotEqual(status, 0)
        self.assertIn("something else", said)
        self.assertEqual(self.file.read_text(), "my only copy")

    def test_where_files_may_not_be_as_large_it_takes_a_smaller_one_or_says_so(self):
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        self.addCleanup(resource.setrlimit, resource.RLIMIT_FSIZE, before)
        resource.setrlimit(resource.RLIMIT_FSIZE, (256 << 20, before[1]))
        with self.server() as server, server.redis() as client:
            client.set("a", "1")
            self.assertEqual(client.get("a"), "1")
            self.assertLess(self.file.stat().st_size, 256 << 20)
        resource.setrlimit(resource.RLIMIT_FSIZE, (24 << 20, before[1]))
        status, said = self.refused()
        self.assertEqual(status, 1)
        self.assertIn("ulimit -f", said)

    def test_a_region_on_a_disk_is_warned_of(self):
        for file in (self.file, None):
            file = file or self.folder / "region"  # there is a folder from the first server on
            kind = subprocess.run(["stat", "-f", "-c", "%T", file.parent], capture_output=True,
                                  text=True, check=True).stdout.strip()
            with self.subTest(kind=kind), self.server("--set", f"region.file={file}") as server:
                self.assertEqual(len(server.events("region_on_disk")),
                                 0 if kind in ("tmpfs", "ramfs") else 1)

    def test_a_socket_that_cannot_be_made_is_no_start(self):
        for length in (200, 5000):
            path = "/tmp/" + "s" * length
            status, said = self.refused("--set", f"listen.socket={path}", config=CONFIG)
            self.assertEqual(status, 3)
            self.assertIn("cannot_listen", said)

    def test_keep_memory_needs_a_file(self):
        status, said = self.refused("--keep-memory", config=CONFIG)
        self.assertEqual(status, 2)
        self.assertIn("region.file", said)


if __name__ == "__main__":
    main()
