#!/usr/bin/python3
"""What an operator sees: figures over windows, doctor, top, slow operations, and what a service manager is told."""

import json
import os
import pathlib
import queue
import re
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import termios
import threading
import time
import unittest

import redis

import forebay
import shared
from forebay import PATIENCE, PROGRAM, SLOW_ROUNDS, Server


class Manager:
    """A service manager's socket: abstract, or a file."""

    def __init__(self, abstract):
        self.folder = tempfile.mkdtemp(prefix="forebay-notify.")
        name = f"{self.folder}/notify"
        self.name = "@" + name if abstract else name
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind("\0" + name if abstract else name)
        self.heard = queue.Queue()
        self.all = []
        # Always read at once: the system keeps only a few for who does not.
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        while True:
            text = self.socket.recv(4096).decode()
            if text == "END":
                self.socket.close()
                return
            self.all.append(text)
            self.heard.put(text)

    def wait(self, wanted):
        """The next message that has a line which begins so."""
        while True:
            lines = self.heard.get(timeout=PATIENCE).split("\n")
            if any(line.startswith(wanted) for line in lines):
                return lines

    def close(self):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as own:
            own.sendto(b"END", self.socket.getsockname())
        shutil.rmtree(self.folder)


class Notify(unittest.TestCase):
    def test_the_manager_is_told_of_each_turn(self):
        for abstract in (True, False):
            manager = Manager(abstract)
            self.addCleanup(manager.close)
            with Server(env={"NOTIFY_SOCKET": manager.name, "WATCHDOG_USEC": "2000000"}) as server:
                self.assertIn("READY=1", manager.wait("READY=1"))
                manager.wait("WATCHDOG=1")
                manager.wait("WATCHDOG=1")
                self.assertRegex(manager.wait("STATUS=memory")[0], r"reads/s, hit rate .* connections")
                server.send_signal(signal.SIGHUP)
                lines = manager.wait("RELOADING=1")
                self.assertTrue(any(re.fullmatch(r"MONOTONIC_USEC=\d+", line) for line in lines), lines)
                manager.wait("READY=1")
                server.send_signal(signal.SIGTERM)
                manager.wait("STOPPING=1")

    def test_without_a_watchdog_nothing_beats(self):
        manager = Manager(True)
        self.addCleanup(manager.close)
        with Server(env={"NOTIFY_SOCKET": manager.name}):
            manager.wait("READY=1")
        manager.wait("STOPPING=1")
        self.assertFalse([text for text in manager.all if "WATCHDOG" in text], manager.all)

    def test_units_are_what_systemd_reads(self):
        if not shutil.which("systemd-analyze"):
            self.skipTest("no systemd here")
        folder = pathlib.Path(tempfile.mkdtemp(prefix="forebay-unit."))
        self.addCleanup(shutil.rmtree, folder)
        for file in (forebay.ROOT / "packaging").glob("forebay*.s*"):
            text = file.read_text().replace("/usr/bin/forebay", PROGRAM)
            # What is looked at is the unit, not what this machine has of manuals.
            (folder / file.name).write_text(re.sub(r"(?m)^Documentation=.*\n", "", text))
        done = subprocess.run(["systemd-analyze", "verify", *map(str, sorted(folder.iterdir()))],
                              capture_output=True, text=True, timeout=PATIENCE)
        wrong = [line for line in done.stderr.splitlines() if line.startswith("forebay")
                 or "/forebay" in line and "Unknown" in line]
        self.assertEqual(wrong, [])


    def test_the_unit_lets_it_call_what_it_calls(self):
        if not shutil.which("systemd-analyze"):
            self.skipTest("no systemd here")

        def calls_of(name):
            if not name.startswith("@"):
                return {name}
            done = subprocess.run(["systemd-analyze", "syscall-filter", name], capture_output=True, text=True,
                                  timeout=PATIENCE)
            if done.returncode != 0:
                self.skipTest(done.stderr)
            words = [line.strip() for line in done.stdout.splitlines()[1:]]
            return set().union(*(calls_of(word) for word in words if word and not word.startswith("#")))
        allowed = set()
        unit = (forebay.ROOT / "packaging/forebay.service").read_text()
        for line in re.findall(r"(?m)^SystemCallFilter=(.*)", unit):
            calls = set().union(*map(calls_of, line.removeprefix("~").split()))
            allowed = allowed - calls if line.startswith("~") else allowed | calls
        wanted = {"read", "futex", "epoll_wait", "accept4", "connect", "sendmsg", "fdatasync", "mmap", "chown", "fchown",
                  "fchmod", "flock", "prlimit64", "getrandom", "clone3"}
        self.assertEqual(wanted - allowed, set())
        self.assertEqual({"mount", "ptrace", "reboot", "setuid", "init_module"} & allowed, set())


class Figures(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        # More than what a busy machine makes of any other command.
        config = forebay.CONFIG + "log: {slow: 200ms}\n"
        cls.server = cls.enterClassContext(Server(config)) if hasattr(cls, "enterClassContext") else None
        if cls.server is None:
            cls.server = Server(config)
            cls.server.__enter__()
            cls.addClassCleanup(cls.server.__exit__, None, None, None)

    def ask(self, *words):
        done = self.server.cli(*words)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def test_windows_have_what_was_read_now(self):
        for _ in range(5):
            self.ask("fetch", "fruit", "name=plum")
        for window in ("minute", "hour", "start"):
            fruit = json.loads(self.ask("stats", "fruit", "--window", window, "--json"))
            self.assertEqual(fruit["window"], window)
            self.assertGreaterEqual(fruit["hits"], 4)
            self.assertGreater(fruit["window_ms"], 0)
            self.assertGreater(fruit["per_second"], 0)
            self.assertEqual(set(fruit["tiers"]), {"memory", "shared", "source"})
            self.assertGreaterEqual(fruit["tiers"]["source"]["requests"], 1)
        self.assertEqual(self.server.cli("stats", "--window", "week").returncode, 4)
        each = json.loads(self.ask("stats", "--json"))
        self.assertEqual({one["name"] for one in each["targets"]},
                         {"hit_rate", "hit_latency", "miss_latency", "memory", "error_rate"})

    def test_each_class_at_once(self):
        with self.server.redis() as client:
            every = client.execute_command("FB.STATS", "EACH", "WINDOW", "hour")
        self.assertEqual([dict(zip(one[::2], one[1::2]))["name"] for one in every],
                         ["*", "", "fruit", "list", "slow"])
        with self.server.redis() as client:
            for words in (("WINDOW", "week"), ("EACH", "fruit"), ("fruit", "list")):
                with self.assertRaises(Exception):
                    client.execute_command("FB.STATS", *words)

    def test_a_slow_operation_has_a_name_and_a_reason(self):
        since = len(self.server.log.lines)
        self.ask("fetch", "slow", f"rounds={SLOW_ROUNDS}")
        line = self.server.log.wait(lambda text: forebay.event_of(text).get("event") == "slow_operation"
                                    and forebay.event_of(text)["name"] == "fb.fetch"
                                    and "slow" in forebay.event_of(text)["what"], since)
        told = forebay.event_of(line)
        self.assertEqual(told["waited_for"], "source")
        self.assertGreaterEqual(told["ms"], 200)
        with self.server.redis() as client:
            # On a machine that stands still each of these may be one more that is slow.
            kept = shared.until(lambda: (kept := client.execute_command("SLOWLOG", "GET", "-1"))
                                and client.execute_command("SLOWLOG", "LEN") == len(kept) and kept)
            self.assertTrue(kept)
            shared.until(lambda: client.execute_command("SLOWLOG", "RESET")
                         and client.execute_command("SLOWLOG", "LEN") == 0, "an empty SLOWLOG")

    def test_doctor_tells_all_and_its_status(self):
        for _ in range(30):
            self.ask("fetch", "fruit", "name=apple")
        done = self.server.cli("doctor", "--json")
        told = json.loads(done.stdout)
        self.assertEqual(done.returncode, 1 if told["state"] == "fail" else 0)
        areas = {one["area"] for one in told["findings"]}
        self.assertLessEqual({"redis", "sources", "queues", "memory", "loops", "doors", "targets", "machine"},
                             areas)
        for one in told["findings"]:
            self.assertIn(one["state"], ("ok", "warn", "fail"))
            self.assertTrue(one["text"], one)
        for one in told["advice"]:
            self.assertTrue(one["about"] and one["figure"] and one["reason"], one)
        rate = [one for one in told["advice"] if one["about"] == "class 'fruit'" and "hit rate" in one["figure"]]
        self.assertEqual(len(rate), 1, told["advice"])
        text = self.server.cli("doctor").stdout
        self.assertIn("Recommendations", text)
        self.assertRegex(text, r"(?m)^  ok +redis: connection +none is configured")

    def test_info_has_what_exporters_for_redis_read(self):
        with Server() as server, server.redis() as client:
            for _ in range(100):
                client.get("word")
            with self.assertRaises(redis.ResponseError):
                client.execute_command("GET")
            with self.assertRaises(redis.ResponseError):
                client.execute_command("FB.FETCH", "nosuch", "name", "x")
            commands = client.info("commandstats")
            self.assertEqual([commands["cmdstat_get"][name] for name in ("calls", "rejected_calls", "failed_calls")],
                             [100, 1, 0])
            self.assertGreater(commands["cmdstat_get"]["usec_per_call"], 0)
            self.assertEqual(commands["cmdstat_fb.fetch"]["failed_calls"], 1)
            self.assertEqual(client.info("errorstats"),
                             {"errorstat_ERR": "count=1", "errorstat_NOCLASS": "count=1"})

            def used(info):
                return info["used_cpu_user"] + info["used_cpu_sys"]
            before = client.info("cpu")
            self.assertGreater(used(before), 0)
            deadline = time.monotonic() + PATIENCE
            while used(client.info()) < used(before) + 0.05:
                self.assertLess(time.monotonic(), deadline)
            self.assertEqual(sorted(before), [f"used_cpu_{kind}{whose}" for kind in ("sys", "user")
                                              for whose in ("", "_children", "_main_thread")])
            client.config_resetstat()
            self.assertNotIn("cmdstat_get", client.info("commandstats"))

    def test_top_once_is_text(self):
        self.ask("fetch", "fruit", "name=apple")
        text = self.ask("top", "--once", "--window", "start")
        self.assertNotIn("\033", text)
        self.assertRegex(text, r"(?m)^reads +[\d.]+/s  hit rate ")
        self.assertRegex(text, r"(?m)^fruit +[\d.]+ ")
        self.assertEqual(self.server.cli("top", "--window", "week").returncode, 2)
        self.assertEqual(self.server.cli("top", "--count", "0").returncode, 2)
        self.assertEqual(len(re.findall(r"(?m)^forebay ", self.ask("top", "--count", "2"))), 2)

    def test_top_shows_every_figure_of_its_head_on_a_narrow_terminal(self):
        with Server(env={"REDIS_URL": "redis://127.0.0.1:1"}) as server:
            server.wait_for("shared_tier_away")
            for columns in (60, 80, 120):
                terminal = Terminal(self, "top", "--url", server.url, columns=columns)
                terminal.read_until("\033[H")
                terminal.read_until("\033[H")
                page = terminal.read_until("\033[J").replace("\033[K", "").replace("\r", "").split("\n")
                self.assertLessEqual(max(map(len, page)), columns)
                head = " ".join(" ".join(page[:page.index("")]).split())
                for line in (r"forebay \S+ up \S+ .* figures of the last minute \(\S+\)",
                             r"reads [\d.]+/s hit rate .* errors .* hit p99 \S+ miss p99 \S+ saved \S+",
                             r"shared away reads \d+ hit rate \S+% p99 \S+ failed \d+ owed \d+",
                             r"doors \d+ connections .* out [\d.]+ KiB/s refused \d+"):
                    self.assertRegex(head, line, columns)
                self.assertRegex(" ".join(page), "sort: .* n name .* w window .* q quit")
                terminal.read_until("store away")  # of the queues, in that tier
                terminal.press("q")
                self.assertEqual(terminal.wait(), 0)

    def test_top_on_a_terminal_takes_keys_and_puts_it_back(self):
        terminal = Terminal(self, "top", "--url", self.server.url)
        terminal.read_until("\033[?1049h")
        terminal.read_until("of the last minute")
        terminal.press("nw")
        terminal.read_until("of the last hour")
        terminal.read_until("n name*")
        terminal.press("q")
        terminal.read_until("\033[?1049l")
        self.assertEqual(terminal.wait(), 0)


class Terminal:
    """A command of forebay on a terminal."""

    def __init__(self, test, *words, columns=300):
        try:
            self.master, slave = os.openpty()
        except OSError as error:
            raise unittest.SkipTest(f"no terminal can be made here: {error}")
        termios.tcsetwinsize(slave, (50, columns))  # 300: no line is cut, however long the paths are in it
        test.addCleanup(os.close, self.master)
        self.process = subprocess.Popen([PROGRAM, *words], stdin=slave, stdout=slave, stderr=slave,
                                        env=forebay.clean_environment({"TERM": "xterm"}))
        test.addCleanup(self.end)
        os.close(slave)
        self.seen = b""

    def read_until(self, wanted):
        deadline = time.monotonic() + PATIENCE
        while wanted.encode() not in self.seen:
            ready, _, _ = select.select([self.master], [], [], PATIENCE)
            if not ready or time.monotonic() > deadline:
                raise AssertionError(f"no {wanted!r} in {self.seen[-2000:]!r}")
            self.seen += os.read(self.master, 65536)
        before, self.seen = self.seen.split(wanted.encode(), 1)
        return before.decode()

    def press(self, keys):
        os.write(self.master, keys.encode())

    def wait(self):
        return self.process.wait(PATIENCE)

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


class Top(unittest.TestCase):
    def setUp(self):
        # By its socket's file, which nobody else takes while the server is away.
        folder = tempfile.mkdtemp(prefix="forebay-top.")
        self.addCleanup(shutil.rmtree, folder)
        self.server = Server(arguments=("--set", f"listen.socket={folder}/door"))
        self.addCleanup(self.server.remove)
        self.server.start()
        self.terminal = Terminal(self, "top", "--url", f"unix:{folder}/door")
        self.terminal.read_until("hit rate")

    def end(self):
        """Once the server is seen again."""
        deadline = time.monotonic() + PATIENCE
        while "is away" in self.head_of(self.terminal):
            self.assertLess(time.monotonic(), deadline, "the server is not seen again")
        self.terminal.press("q")
        self.assertEqual(self.terminal.wait(), 0)
        self.assertEqual(self.server.stop(), 0)

    def test_a_server_that_goes_away_is_asked_until_it_is_back(self):
        self.assertEqual(self.server.stop(), 0)
        self.terminal.read_until("is away")
        self.terminal.read_until("cannot connect")
        self.terminal.read_until("hit rate")  # the last figures are still to be seen
        self.server.start()
        self.end()

    def test_a_server_that_hangs_is_away_soon(self):
        self.server.send_signal(signal.SIGSTOP)
        self.terminal.read_until("did not answer within 3000 ms")
        self.server.send_signal(signal.SIGCONT)
        self.end()

    @staticmethod
    def head_of(terminal):
        """The first line of the next page."""
        terminal.read_until("\033[H")
        while b"\n" not in terminal.seen:
            terminal.seen += os.read(terminal.master, 65536)
        return terminal.seen.split(b"\n", 1)[0].decode()


class Doctor(unittest.TestCase):
    def test_without_a_server_it_says_so_and_looks_itself(self):
        folder = tempfile.mkdtemp(prefix="forebay-doctor.")
        self.addCleanup(shutil.rmtree, folder)
        file = pathlib.Path(folder) / "forebay.yaml"
        file.write_text("memory: 64MiB\nredis: {url: 'redis://127.0.0.1:1'}\n")
        words = ("doctor", "--url", f"unix:{folder}/none", "--config", str(file))
        done = forebay.run(*words, cwd=folder)
        self.assertEqual(done.returncode, 3, done.stderr)
        self.assertIn("No forebay runs at", done.stdout)
        self.assertRegex(done.stdout, r"(?m)^  ok +configuration: valid")
        self.assertRegex(done.stdout, r"(?m)^  fail +redis: connection")
        told = json.loads(forebay.run(*words, "--json", cwd=folder).stdout)
        self.assertFalse(told["running"])
        self.assertEqual(told["state"], "fail")
        file.write_text("memory: much\n")
        done = forebay.run(*words, cwd=folder)
        self.assertRegex(done.stdout, r"(?m)^  fail +configuration: valid .*memory")

    def ask_about(self, stage, *settings):
        """What is said of the connection to Redis, where no server of ours runs."""
        sets = [word for one in settings for word in ("--set", one)]
        done = forebay.run("doctor", "--url", f"unix:{stage.folder}/none", "--json", *sets, cwd=stage.folder,
                           env={"FOREBAY_PASSWORD": "for-our-own-server"})
        self.assertEqual(done.returncode, 3, done.stderr)
        found = [one for one in json.loads(done.stdout)["findings"] if one["area"] == "redis"]
        self.assertEqual(len(found), 1, found)
        return found[0]["state"], found[0]["text"]

    @unittest.skipUnless(shared.HAS_REDIS, "no redis-server here")
    def test_without_a_server_redis_is_asked_by_each_way(self):
        with shared.Stage() as stage:
            server = stage.redis(tls=True)
            tls, cert = f"redis.url=rediss://127.0.0.1:{server.tls_port}", f"redis.tls.ca={server.cert}"
            self.assertEqual(self.ask_about(stage, f"redis.url=redis://127.0.0.1:{server.port}"),
                             ("ok", f"127.0.0.1:{server.port} answers"))
            self.assertEqual(self.ask_about(stage, "redis.host=127.0.0.1", f"redis.port={server.port}"),
                             ("ok", f"127.0.0.1:{server.port} answers"))
            self.assertEqual(self.ask_about(stage, f"redis.url=unix://{server.path}"),
                             ("ok", f"unix:{server.path} answers"))
            self.assertEqual(self.ask_about(stage, tls, cert),
                             ("ok", f"127.0.0.1:{server.tls_port} answers by TLS"))
            state, text = self.ask_about(stage, tls)
            self.assertEqual(state, "fail")
            self.assertIn("certificate is not to be trusted", text)
            self.assertEqual(self.ask_about(stage, tls, "redis.tls.verify=false")[0], "ok")
            server.ask("CONFIG", "SET", "requirepass", "secret")
            self.assertEqual(self.ask_about(stage, f"redis.url=redis://:secret@127.0.0.1:{server.port}"),
                             ("ok", f"127.0.0.1:{server.port} answers, and wants a password"))
            server.kill()
            state, text = self.ask_about(stage, f"redis.url=redis://127.0.0.1:{server.port}")
            self.assertEqual(state, "fail")
            self.assertNotIn("forebay", text)


if __name__ == "__main__":
    unittest.main(verbosity=2)
