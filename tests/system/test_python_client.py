#!/usr/bin/python3
"""The Python client (clients/python) as people get it: installed by pip into an environment of its
own, then used against a real daemon whose memory it reads.

Run by itself it makes that environment, with PYTHON (/usr/bin/python3 unless set), and goes on
inside of it. The package's own tests (clients/python/tests) run there too.
"""

import importlib.util
import os
import pathlib
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
PACKAGE = HERE.parent.parent / "clients/python"
INSIDE = "FOREBAY_TEST_ENVIRONMENT"

if INSIDE not in os.environ:
    with tempfile.TemporaryDirectory(prefix="forebay-test.") as folder:
        python = os.environ.get("PYTHON", "/usr/bin/python3")
        subprocess.run([python, "-m", "venv", "--system-site-packages", folder], check=True)
        subprocess.run([f"{folder}/bin/pip", "install", "--quiet", "--no-index",
                        "--disable-pip-version-check", str(PACKAGE)], check=True)
        done = subprocess.run([f"{folder}/bin/python", __file__, *sys.argv[1:]],
                              env={**os.environ, INSIDE: folder}, cwd=folder)
    sys.exit(done.returncode)

# The helper beside this file has the name of the package.
spec = importlib.util.spec_from_file_location("forebay_server", HERE / "forebay.py")
forebay_server = importlib.util.module_from_spec(spec)
spec.loader.exec_module(forebay_server)
sys.path = [path for path in sys.path if pathlib.Path(path or ".").resolve() != HERE]

import asyncio
import doctest
import functools
import gc
import json
import logging
import multiprocessing
import re
import shutil
import signal
import tarfile
import threading
import time
import unittest
import unittest.mock
import venv
import zipfile

import forebay

PATIENCE = forebay_server.PATIENCE
ENVIRONMENT = pathlib.Path(os.environ[INSIDE])
CONFIG = forebay_server.CONFIG + """
  broken:
    key: "broken:{n}"
    source: shop
    query: "SELECT json_extract(:n, '$') AS value"
    ttl: 1h
"""


class Daemon:
    """A server with a socket and a region in a folder that outlives it."""

    def __init__(self, *arguments, region=True):
        self.folder = tempfile.mkdtemp(prefix="forebay-test.")
        self.url = f"unix:{self.folder}/socket"
        self.arguments = ["--set", f"listen.socket={self.folder}/socket", "--set", "listen.http=off", *arguments]
        if region:
            self.arguments += ["--set", f"region.file={self.folder}/region"]
        self.server = None

    def start(self, *more):
        self.server = forebay_server.Server(CONFIG, arguments=[*self.arguments, *more], folder=self.folder).start()
        return self

    def kill(self):
        self.server.process.kill()
        self.server.wait()

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, *rest):
        try:
            status = self.server.stop()
            assert kind is not None or status == 0, f"ended with {status}:\n" + "\n".join(self.server.log.lines)
        finally:
            self.server.remove()
            shutil.rmtree(self.folder)


def run_in_child(work):
    """Runs work() in a forked child. (pid, a function that waits for its status)"""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            work()
            status = 0
        except BaseException:
            import traceback
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(status)
    return pid, lambda: os.waitpid(pid, 0)[1]


def until(claim, text="it never came about"):
    """Asks again and again: for what another process brings about in its own time."""
    end = time.monotonic() + PATIENCE
    while not claim():
        if time.monotonic() > end:
            raise AssertionError(text)
        time.sleep(0.005)


def counted(cache, work):
    """(hits in the region, requests) that the work took. On a machine that is busy enough a daemon
    does not show that it lives for a second; then there are more requests, so: until()."""
    before = cache.figures()
    work()
    after = cache.figures()
    return tuple(after[name] - before[name] for name in ("region_hits", "requests"))


# A client takes a daemon that gets no turn for a second for one that is away; here it waits.
PATIENT_CLIENTS = f"""
import forebay, functools
forebay.Client = functools.partial(forebay.Client, timeout={PATIENCE})
"""


def run_patiently(daemon, *words):
    """What a Python program of others prints that asks the daemon by clients without options of their own."""
    pathlib.Path(daemon.folder, "sitecustomize.py").write_text(PATIENT_CLIENTS)
    return subprocess.Popen([sys.executable, *words], cwd=daemon.folder, stdout=subprocess.PIPE, text=True,
                            env={**os.environ, "FOREBAY_URL": daemon.url, "PYTHONPATH": daemon.folder})


class TestCase(forebay_server.TestCase):
    def client(self, daemon, **options):
        client = forebay.Client(daemon.url, **{"timeout": PATIENCE, **options})
        self.addCleanup(client.close)
        return client

    def said_by(self, daemon, *words):
        with run_patiently(daemon, *words) as process:
            said, _ = process.communicate(timeout=PATIENCE)
        self.assertEqual(process.returncode, 0)
        return said


class Installing(unittest.TestCase):
    """The build backend: what pip gets, and what it is told when something is missing."""

    def build(self, hook, folder, env=None, backend=PACKAGE / "backend"):
        code = f"import sys; sys.path.insert(0, {str(backend)!r}); import forebay_build; " \
               f"print(forebay_build.{hook}({str(folder)!r}))"
        return subprocess.run([sys.executable, "-c", code], env={**os.environ, **(env or {})}, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, timeout=PATIENCE)

    def test_nothing_is_left_in_the_tree_and_the_package_is_whole(self):
        self.assertEqual(list(PACKAGE.rglob("*.o")), [])
        import importlib.metadata
        about = importlib.metadata.distribution("forebay")
        self.assertEqual(about.version, forebay.__version__)
        version = re.search(r"version: '(.*)'", (PACKAGE.parent.parent / "meson.build").read_text())[1]
        self.assertEqual(about.version, version)
        names = {pathlib.Path(str(file)).name for file in about.files}
        self.assertLessEqual({"py.typed", "_native.pyi", "_cached.pyi", "__init__.py", "RECORD", "METADATA", "WHEEL"}, names)
        self.assertTrue(str(pathlib.Path(forebay.__file__).resolve()).startswith(str(ENVIRONMENT)))

    def test_an_sdist_brings_all_it_needs(self):
        with tempfile.TemporaryDirectory() as folder:
            done = self.build("build_sdist", folder)
            self.assertEqual(done.returncode, 0, done.stderr)
            with tarfile.open(f"{folder}/{done.stdout.strip()}") as archive:
                archive.extractall(folder)
            base = pathlib.Path(folder, f"forebay-{forebay.__version__}")
            self.assertTrue((base / "csrc/include/forebay/client.h").is_file())
            # As fast as it goes: it is whether it compiles and loads that matters here.
            done = self.build("build_wheel", folder, {"CFLAGS": "-O0"}, backend=base / "backend")
            self.assertEqual(done.returncode, 0, done.stderr)
            with zipfile.ZipFile(f"{folder}/{done.stdout.strip()}") as wheel:
                wheel.extractall(f"{folder}/installed")
                self.assertIsNone(wheel.testzip())
            code = "import forebay; print(forebay.__file__, forebay._native.Client)"
            seen = subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": f"{folder}/installed"},
                                  stdout=subprocess.PIPE, text=True, check=True).stdout
            self.assertIn(f"{folder}/installed", seen)

    def test_what_is_missing_is_named_by_its_package(self):
        with tempfile.TemporaryDirectory() as folder:
            for env, wanted in (({"CC": "no-such-compiler"}, "no C compiler (no-such-compiler). On Debian: apt install gcc libc6-dev"),
                                ({"CFLAGS": "-nostdinc"}, "header stdio.h is missing. On Debian: apt install libc6-dev"),
                                ({"CFLAGS": "-DPy_PYTHON_H=1 -DFB_NOTHING -include no-such-file.h"}, "is missing")):
                done = self.build("build_wheel", folder, env)
                self.assertNotEqual(done.returncode, 0)
                self.assertIn(wanted, done.stderr)
                self.assertNotIn("Traceback", done.stderr)
            alone = pathlib.Path(folder, "alone")
            shutil.copytree(PACKAGE, alone, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
            done = self.build("build_wheel", folder, backend=alone / "backend")
            self.assertIn("FOREBAY_SOURCE", done.stderr)

    def test_the_packages_own_tests_pass(self):
        done = subprocess.run([sys.executable, "-m", "unittest", "discover", str(PACKAGE / "tests")], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=PATIENCE)
        self.assertEqual(done.returncode, 0, done.stdout)


class Reading(TestCase):
    def test_values_come_from_the_region(self):
        with Daemon() as daemon:
            cache = self.client(daemon)
            values = {"text": "zwölf", "number": 5, "big": 10**30, "list": [1, {"a": None}], "bytes": b"\xff\x00", "none": None,
                      "large": "x" * 100000, "empty": b"", "true": True}
            for key, value in values.items():
                cache.set(key, value, ttl=300)

            def read_all():
                self.assertEqual({key: cache.get(key) for key in values}, values)
                self.assertEqual(cache.get_many([*values, "nothing"]), values)
                for key, value in values.items():
                    self.assertIn(cache.peek(key, "ask the daemon"), (value, "ask the daemon"))
            until(lambda: counted(cache, read_all) == (3 * len(values), 1), "one request, for what is not there")
            self.assertIsNone(cache.get("nothing"))

    def test_what_others_write_is_read_as_it_is(self):
        with Daemon() as daemon, daemon.server.redis() as other:
            cache = self.client(daemon)
            for text, value in (("hello", b"hello"), ('{"a": 1}', {"a": 1}), ("5", 5), ("", b""), ("05", b"05")):
                other.set("key", text)
                self.assertEqual(cache.get("key"), value)
            cache.set("mine", {"name": "Ada"})
            self.assertEqual(other.get("mine"), '{"name":"Ada"}')
            cache.set("count", 41)
            self.assertEqual(other.incr("count"), 42)
            self.assertEqual(cache.get("count"), 42)
            self.assertEqual(cache.incr("count", 8), 50)
            for i in range(200):
                other.set("key", i)
                self.assertEqual(cache.get("key"), i, "a write that was answered is seen")
            other.delete("key")
            self.assertIsNone(cache.get("key"))

    def test_plain_keys(self):
        with Daemon() as daemon:
            cache = self.client(daemon)
            self.assertTrue(cache.add("key", 1, ttl=3600))
            self.assertFalse(cache.add("key", 2))
            self.assertTrue(3500 < cache.ttl("key") <= 3600)
            cache.set("ever", 1)
            self.assertEqual(cache.ttl("ever"), float("inf"))
            self.assertIsNone(cache.ttl("none"))
            self.assertTrue(cache.expire("ever", 0.001))
            until(lambda: not cache.exists("ever"))
            self.assertIsNone(cache.get("ever"))
            self.assertTrue(cache.delete("key"))
            self.assertFalse(cache.delete("key"))
            cache.set_many({f"many:{i}": i for i in range(500)}, ttl=60)
            self.assertEqual(cache.get_many(f"many:{i}" for i in range(600)), {f"many:{i}": i for i in range(500)})

    def test_over_tcp_without_a_region(self):
        with Daemon(region=False) as daemon:
            cache = forebay.Client(daemon.server.url, timeout=PATIENCE)
            cache.set("key", [1])
            self.assertEqual(cache.get("key"), [1])
            self.assertEqual(cache.get_many(["key", "none"]), {"key": [1]})
            self.assertEqual(cache.fetch("fruit", name="plum")["price"], 2.25)
            self.assertEqual(cache.figures()["region_hits"], 0)
            cache.close()

    def test_the_default_client_is_where_the_environment_says(self):
        with Daemon() as daemon:
            code = """if True:
                import forebay
                @forebay.cached(ttl=300)
                def double(n):
                    print("run")
                    return 2 * n
                print(double(4), double(4), forebay.client() is forebay.client(), double.key(4))
                print(forebay.client().get(double.key(4)))
                """
            for runs in (["run"], []):
                seen = self.said_by(daemon, "-c", code).splitlines()
                self.assertEqual(seen, runs + [f"8 8 True {daemon.folder}/<string>.double[4]", "8"])


class Fetching(TestCase):
    def test_fetch(self):
        with Daemon() as daemon:
            cache = self.client(daemon)
            plum = {"name": "plum", "price": 2.25, "colour": "blue"}
            self.assertEqual(cache.fetch("fruit", name=" PLUM "), plum)
            self.assertEqual(cache.fetch("fruit", {"name": b"plum"}), plum)
            self.assertIsNone(cache.fetch("fruit", name="tyre"))
            self.assertEqual(cache.fetch("list", colour="red"), [{"name": "apple", "price": 1.5}, {"name": "cherry", "price": 7.0}])
            self.assertEqual(cache.fetch("slow", rounds=5, timeout=5), {"rounds": 5})
            self.assertEqual(cache.fetch("slow", rounds=True), {"rounds": 1})
            self.assertEqual(cache.get("fruit:plum"), plum)
            until(lambda: counted(cache, lambda: self.assertEqual(cache.fetch("fruit", name="plum"), plum)) == (1, 0))
            with daemon.server.redis() as other:
                loads = int(daemon.server.stats("fruit")["loads"])
                self.assertEqual(cache.fetch("fruit", name="plum", refresh=True), plum)
                self.assertEqual(int(daemon.server.stats("fruit")["loads"]), loads + 1)
                self.assertEqual(other.execute_command("FB.FETCH", "fruit", "name", "plum"), json.dumps(plum, separators=(",", ":")))

    def test_invalidate(self):
        with Daemon() as daemon:
            cache = self.client(daemon)

            def fill():
                cache.set("key", 1)
                cache.set("other", 2)
                cache.fetch("fruit", name="plum")
                cache.fetch("fruit", name="apple")

            def left():
                return {key for key in ("key", "other", "fruit:plum", "fruit:apple") if cache.get(key) is not None}
            everything = {"key", "other", "fruit:plum", "fruit:apple"}
            for how, gone in (({"key": "key"}, {"key"}), ({"pattern": "*e*"}, {"key", "other", "fruit:apple"}),
                              ({"tag": "colour:red"}, {"fruit:apple"}), ({"class_": "fruit"}, {"fruit:plum", "fruit:apple"}),
                              ({"everything": True}, everything), ({"key": "key", "soft": True}, {"key"})):
                fill()
                self.assertEqual(left(), everything)
                self.assertIsNone(cache.invalidate(**how))
                self.assertEqual(left(), everything - gone, how)
            with self.assertRaises(forebay.NoSuchClass):
                cache.invalidate(class_="none")

    def test_errors(self):
        with Daemon("--set", "memory=16MiB") as daemon:
            cache = self.client(daemon)
            for error, also, text, call in (
                    (forebay.NoSuchClass, LookupError, "vegetable", lambda: cache.fetch("vegetable", name="leek")),
                    (forebay.BadRequest, ValueError, "name", lambda: cache.fetch("fruit")),
                    (forebay.BadRequest, ValueError, "weight", lambda: cache.fetch("fruit", name="plum", weight=5)),
                    (forebay.BadRequest, ValueError, "rounds", lambda: cache.fetch("slow", rounds="many")),
                    (forebay.SourceError, forebay.Error, "JSON", lambda: cache.fetch("broken", n="{")),
                    (forebay.TimeoutError, TimeoutError, "", lambda: cache.fetch("slow", rounds=10**9, timeout=0.05)),
                    (forebay.TooBig, ValueError, "", lambda: cache.set("key", b"x" * (4 << 20))),
                    (forebay.TooBig, ValueError, "", lambda: cache.set("k" * 70000, 1)),
                    (forebay.BadRequest, ValueError, "integer", lambda: (cache.set("text", "x"), cache.incr("text")))):
                with self.assertRaisesRegex(error, f"(?i){text}") as caught:
                    call()
                self.assertIsInstance(caught.exception, also)
                self.assertIsInstance(caught.exception, forebay.Error)
            self.assertTrue(cache.figures()["daemon_there"], "none of it was an outage")

    def test_the_gil_is_free_while_a_source_works(self):
        with Daemon() as daemon:
            cache = self.client(daemon)
            for more in range(5):  # a machine that gave this thread no turn says nothing
                rounds = forebay_server.SLOW_ROUNDS + more
                waiting = threading.Thread(target=lambda rounds=rounds: cache.fetch("slow", rounds=rounds))
                waiting.start()
                turns = 0
                while waiting.is_alive():
                    turns += 1
                waiting.join()
                if turns > 1000:
                    break
            self.assertGreater(turns, 1000)


class Processes(TestCase):
    def test_children_read_and_write_with_the_clients_of_their_parent(self):
        with Daemon() as daemon:
            cache = self.client(daemon)
            cache.set("shared", {"n": 1})
            self.assertEqual(cache.get("shared"), {"n": 1})

            def work():
                for i in range(300):
                    assert cache.get("shared") == {"n": 1}
                    cache.set(f"{os.getpid()}:{i}", i)
                    assert cache.get(f"{os.getpid()}:{i}") == i
                    cache.incr("turns")
                assert cache.figures()["region_hits"] > 100, cache.figures()
            ends = [run_in_child(work)[1] for _ in range(4)]
            work()
            self.assertEqual([end() for end in ends], [0] * 4)
            self.assertEqual(cache.get("turns"), 1500)

    def test_eight_processes_read_at_once_while_one_writes(self):
        with Daemon() as daemon:
            cache = self.client(daemon)
            text = [f"{n}:" + "abc" * n for n in range(500)]
            cache.set("end", False)
            for key in range(20):
                cache.set(f"key:{key}", text[0])

            def work():
                reads = 0
                while not cache.get("end") or reads < 2000:
                    value = cache.get(f"key:{reads % 20}")
                    assert value == text[int(value.split(":")[0])], value
                    reads += 1
            ends = [run_in_child(work)[1] for _ in range(8)]
            for i in range(3000):
                cache.set(f"key:{i % 20}", text[i % 500])
            cache.set("end", True)
            self.assertEqual([end() for end in ends], [0] * 8)

    def test_a_pool_of_processes(self):
        with Daemon() as daemon:
            global pool_cache
            pool_cache = self.client(daemon)
            pool_cache.set("key", 7)
            for method in ("fork", "spawn"):
                context = multiprocessing.get_context(method)
                with context.Pool(3, initializer=begin_pool, initargs=(daemon.url,)) as pool:
                    self.assertEqual(pool.map(square, range(20), chunksize=1), [n * n for n in range(20)])
            self.assertEqual(sorted(pool_cache.get_many(f"square:{n}" for n in range(20)).values()), [n * n for n in range(20)])

    def test_workers_before_which_the_client_was_made_survive_signals(self):
        """As gunicorn does it: the application is loaded, used, then forked; workers are told to go by
        a signal, in the middle of whatever they do."""
        with Daemon() as daemon:
            cache = self.client(daemon)
            cache.set("config", {"debug": False})

            @cache.cached(ttl=300)
            def page(n):
                return {"page": n}
            page(0)

            def worker():
                stop = []
                signal.signal(signal.SIGTERM, lambda *_: stop.append(1))
                signal.signal(signal.SIGHUP, lambda *_: None)
                cache.incr("workers")
                n = 0
                while not stop:
                    assert cache.get("config") == {"debug": False}
                    assert page(n % 50) == {"page": n % 50}
                    cache.incr("requests")
                    cache.set(f"session:{n % 100}", {"n": n})
                    n += 1
            workers = [run_in_child(worker) for _ in range(4)]
            until(lambda: cache.get("workers") == 4)
            for turn in range(1, 30):
                wanted = 30 * turn
                until(lambda: (cache.get("requests") or 0) > wanted)
                os.kill(workers[turn % 4][0], signal.SIGHUP)
            for pid, _ in workers:
                os.kill(pid, signal.SIGTERM)
            self.assertEqual([end() for _, end in workers], [0] * 4)

    def test_a_fork_amid_threads_that_use_the_client(self):
        with Daemon() as daemon:
            cache = self.client(daemon)
            cache.set("key", "value")
            stop = threading.Event()

            def busy():
                while not stop.is_set():
                    cache.set("other", 1)
                    assert cache.get("key") == "value"
                    assert cache.fetch("fruit", name="pear")["colour"] is None
            threads = [threading.Thread(target=busy) for _ in range(4)]
            for thread in threads:
                thread.start()

            def work():
                for _ in range(20):
                    assert cache.get("key") == "value"
                    cache.set(f"child:{os.getpid()}", 1)
                    assert cache.exists(f"child:{os.getpid()}")
            statuses = [run_in_child(work)[1]() for _ in range(30)]
            stop.set()
            for thread in threads:
                thread.join()
            self.assertEqual(statuses, [0] * 30)

    def test_threads_share_a_client(self):
        with Daemon() as daemon:
            cache = self.client(daemon)
            wrong = []

            def work(me):
                try:
                    for i in range(200):
                        cache.set(f"{me}:{i % 10}", [me, i])
                        if cache.get(f"{me}:{i % 10}") != [me, i]:
                            wrong.append((me, i))
                        cache.incr("turns")
                except BaseException as error:
                    wrong.append(error)
            threads = [threading.Thread(target=work, args=(me,)) for me in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            self.assertEqual(wrong, [])
            self.assertEqual(cache.get("turns"), 1600)

    def test_a_client_may_be_closed_while_others_wait(self):
        with Daemon() as daemon:
            cache = self.client(daemon)
            outcomes = []
            waiting = threading.Thread(target=lambda: outcomes.append(cache.fetch("slow", rounds=forebay_server.SLOW_ROUNDS)))
            before = cache.figures()["requests"]
            waiting.start()
            until(lambda: cache.figures()["requests"] > before or not waiting.is_alive())
            cache.close()
            waiting.join()
            self.assertEqual(outcomes, [{"rounds": forebay_server.SLOW_ROUNDS}])


def begin_pool(url):
    global pool_cache
    if "pool_cache" not in globals():
        pool_cache = forebay.Client(url, timeout=PATIENCE)


def square(n):
    assert pool_cache.get("key") == 7
    pool_cache.set(f"square:{n}", n * n)
    return pool_cache.get(f"square:{n}")


class Outages(TestCase):
    """Warnings are records of the logger "forebay"."""

    def warnings(self, logs):
        return [record.getMessage() for record in logs.records if record.levelno >= logging.WARNING]

    def test_without_a_daemon_there_is_one_warning_and_private_memory(self):
        daemon = Daemon()
        self.addCleanup(shutil.rmtree, daemon.folder)
        cache = self.client(daemon)
        with self.assertLogs("forebay") as logs:
            for _ in range(3):
                self.assertIsNone(cache.get("key"))
            cache.set("key", {"n": 1}, ttl=300)
            self.assertEqual(cache.get("key"), {"n": 1})
            self.assertEqual(cache.incr("n"), 1)
            self.assertTrue(cache.delete("key"))
            with self.assertRaises(forebay.Unavailable) as caught:
                cache.fetch("fruit", name="plum")
            self.assertIsInstance(caught.exception, ConnectionError)
            with self.assertRaises(forebay.Unavailable):
                cache.invalidate(everything=True)
        self.assertEqual(len(self.warnings(logs)), 1, logs.output)
        self.assertFalse(cache.figures()["daemon_there"])
        self.assertGreater(cache.figures()["private_hits"], 0)

    def test_a_daemon_that_dies_and_comes_back(self):
        with Daemon() as daemon, self.assertLogs("forebay", "INFO") as logs:
            cache = self.client(daemon, retry=0.05)
            cache.set_many({"a": "before", "b": "before", "c": "before"})
            self.assertEqual(cache.get("a"), "before")
            daemon.kill()
            # What was read from the region may be served a moment longer; a write finds out.
            cache.set("a", "meanwhile")
            self.assertEqual(cache.get("a"), "meanwhile")
            self.assertFalse(cache.delete("b"), "private memory never had it")
            self.assertIsNone(cache.get("b"))
            self.assertEqual(len(self.warnings(logs)), 1, logs.output)
            daemon.start("--keep-memory")
            until(lambda: cache.get("c") is not None or cache.figures()["daemon_there"])
            self.assertIsNone(cache.get("b"), "deleted while the daemon was away, and owed to it")
            self.assertIn(cache.get("a"), (None, "meanwhile"))
            self.assertNotEqual(self.client(daemon).get("a"), "before")
            cache.set("a", "after")
            until(lambda: cache.get("a") == "after" and cache.figures()["region_there"])
            until(lambda: counted(cache, lambda: self.assertEqual(cache.get("a"), "after")) == (1, 0))
            self.assertEqual(len(self.warnings(logs)), 1, logs.output)
            # The next outage is news again.
            daemon.kill()
            cache.set("a", 1)
            self.assertEqual(len(self.warnings(logs)), 2, logs.output)
            daemon.start()
            until(lambda: cache.add("there", 1) and cache.figures()["daemon_there"] or cache.delete("there") is None)
            self.assertGreaterEqual(len([line for line in logs.output if line.startswith("INFO")]), 1, logs.output)

    def test_a_daemon_that_hangs_is_not_waited_for(self):
        with Daemon() as daemon, self.assertLogs("forebay") as logs:
            # Longer than a daemon that does not hang may take: the one that does costs it once.
            cache = self.client(daemon, timeout=5, retry=0.05)
            cache.set("key", 1)
            daemon.server.send_signal(signal.SIGSTOP)
            os.waitid(os.P_PID, daemon.server.process.pid, os.WSTOPPED)
            try:
                start = time.monotonic()
                cache.set("key", 2)
                self.assertEqual(cache.get("key"), 2)
                self.assertLess(time.monotonic() - start, 30)
            finally:
                daemon.server.send_signal(signal.SIGCONT)
            until(lambda: cache.exists("other") is False and cache.figures()["daemon_there"])
            self.assertNotEqual(cache.get("key"), 1)
            self.assertEqual(len(self.warnings(logs)), 1, logs.output)

    def test_a_region_that_others_may_write_to_is_refused_with_a_warning(self):
        with Daemon() as daemon, self.assertLogs("forebay") as logs:
            os.chmod(f"{daemon.folder}/region", 0o666)
            cache = self.client(daemon)
            cache.set("key", 1)
            self.assertEqual([cache.get("key") for _ in range(3)], [1, 1, 1])
            self.assertEqual(cache.figures()["region_hits"], 0)
            self.assertEqual(len(self.warnings(logs)), 1, logs.output)
            self.assertIn("region", self.warnings(logs)[0])

    def test_children_amid_an_outage(self):
        with Daemon() as daemon, self.assertLogs("forebay"):
            cache = self.client(daemon, retry=0.05)
            cache.set("key", "before")
            daemon.kill()
            cache.set("key", "meanwhile")

            def work():
                logging.getLogger("forebay").handlers[:] = [logging.NullHandler()]
                cache.set("child", 1)
                assert cache.get("child") in (1, None)
                assert cache.get("key") != "before"
            self.assertEqual(run_in_child(work)[1](), 0)
            daemon.start()
            until(lambda: cache.exists("other") is False and cache.figures()["daemon_there"])
            self.assertEqual(run_in_child(work)[1](), 0)


class Cached(TestCase):
    def test_results_are_shared_by_processes(self):
        with Daemon() as daemon:
            cache = self.client(daemon)

            @cache.cached(ttl=300)
            def who():
                return os.getpid()

            def work():
                assert who() == parent
            parent = who()
            self.assertEqual(run_in_child(work)[1](), 0)
            until(lambda: counted(cache, lambda: self.assertEqual(who(), parent)) == (1, 0))
            self.assertTrue(200 < cache.ttl(who.key()) <= 300)
            # Another process forgets it for all.
            self.assertEqual(run_in_child(who.invalidate)[1](), 0)
            self.assertIsNone(cache.get(who.key()))

    def test_coroutines(self):
        with Daemon() as daemon:
            cache = self.client(daemon)
            runs = []

            @cache.cached(ttl=300)
            async def load(n):
                runs.append(n)
                await asyncio.sleep(0.01)
                return {"n": n}

            async def main():
                many = await asyncio.gather(*(load(n) for n in (1, 2) for _ in range(20)))
                again = [await load(1), await load(2)]
                return many, again, await load.invalidate(1), await load(1), await load.refresh(2)
            many, again, gone, one, two = asyncio.run(main())
            self.assertEqual(many, [{"n": 1}] * 20 + [{"n": 2}] * 20)
            self.assertEqual((again, gone, one, two), ([{"n": 1}, {"n": 2}], True, {"n": 1}, {"n": 2}))
            self.assertEqual(sorted(runs), [1, 1, 2, 2])

    def test_too_large_a_result_is_returned(self):
        with Daemon("--set", "memory=16MiB") as daemon:
            cache = self.client(daemon)

            @cache.cached(ttl=300)
            def large():
                return "x" * (4 << 20)
            self.assertEqual([len(large()), len(large())], [4 << 20] * 2)


class Tour(doctest.OutputChecker):
    """Numbers of hits and requests may be others."""

    def check_output(self, want, got, flags):
        def plain(text):
            return re.sub(r"(?<=_hits': |uests': )\d+", "N", text)
        return super().check_output(plain(want), plain(got), flags)


class Examples(TestCase):
    EXAMPLES = PACKAGE.parent.parent / "examples/python"

    def test_cached(self):
        with Daemon() as daemon:
            first = []
            while len(first) < 2 or len(first) < 6 and first[-1] >= 50000:
                seen = self.said_by(daemon, self.EXAMPLES / "cached.py", daemon.url)
                first.append(float(re.search(r"(\S+) us", seen)[1]))
                self.assertRegex(seen, r"signed in: ada for (3600|35\d\d) s")
                self.assertIn(f"logins: {len(first)}\n", seen)
                self.assertIn("this server has no packages", seen)
            self.assertLess(first[-1], 50000, "the second run had it at once, or one that got its turns")

    def test_the_tour_of_the_readme(self):
        page = PACKAGE / "README.md"
        with Daemon() as daemon:
            daemon.server.file.write_text(CONFIG.replace("  fruit:", "  package:").replace("colour:{colour}", "section:shells")
                                          .replace("SELECT name, price, colour", "SELECT name, '5.2.15-2+b13' AS version")
                                          .replace("WHERE name = :name", "WHERE name = :name OR (:name = 'bash' AND name = 'plum')"))
            daemon.server.send_signal(signal.SIGHUP)
            daemon.server.wait_for("reloaded")
            os.environ["FOREBAY_URL"] = daemon.url
            self.addCleanup(os.environ.pop, "FOREBAY_URL")
            test = doctest.DocTestParser().get_doctest(page.read_text(), {"__name__": "__main__"}, page.name, str(page), 0)
            said = []
            patient = functools.partial(forebay.Client, timeout=PATIENCE)
            with unittest.mock.patch.object(forebay, "Client", patient):
                results = doctest.DocTestRunner(Tour(), verbose=False).run(test, out=said.append)
            self.assertEqual(results.failed, 0, "".join(said))
            self.assertGreater(results.attempted, 20)

    def test_web(self):
        with Daemon() as daemon:
            config = CONFIG.replace("  fruit:", "  package:").replace("SELECT name, price, colour", "SELECT name, price AS version, colour")
            daemon.server.file.write_text(config)
            daemon.server.send_signal(signal.SIGHUP)
            daemon.server.wait_for("reloaded")
            process = run_patiently(daemon, self.EXAMPLES / "web.py", "0")
            try:
                port = process.stdout.readline().split()[1]
                for name, wanted in (("plum", '{"name": "plum", "version": 2.25}'), ("plum", '{"name": "plum", "version": 2.25}'),
                                     ("tyre", "{}")):
                    with forebay_server.socket.create_connection(("127.0.0.1", port)) as connection:
                        connection.sendall(f"GET /{name} HTTP/1.0\r\n\r\n".encode())
                        self.assertEqual(forebay_server.read_all(connection).decode().split("\r\n\r\n")[1].strip(), wanted)
            finally:
                process.send_signal(signal.SIGINT)
                self.assertEqual(process.wait(PATIENCE), 0)
                process.stdout.close()


class Leaks(TestCase):
    def grown(self, call, turns=300):
        """How many more blocks of Python's memory there are after many turns than after some."""
        for _ in range(50):
            call()
        gc.collect()
        before = sys.getallocatedblocks()
        for _ in range(turns):
            call()
        gc.collect()
        return sys.getallocatedblocks() - before

    def test_no_call_keeps_what_it_was_given(self):
        with Daemon() as daemon:
            cache = self.client(daemon)
            cache.set_many({"json": {"a": [1, "x"]}, "bytes": b"\xff" * 100, "large": b"\xff" * 50000, "text": "x"})

            @cache.cached(ttl=300)
            def f(a, b=None):
                return [a, b]

            def failing(call, *errors):
                def attempt():
                    try:
                        call()
                    except errors:
                        return
                    raise AssertionError("it did not fail")
                return attempt
            calls = {
                "get": lambda: [cache.get(key) for key in ("json", "bytes", "large", "text", "none")],
                "get_bytes": lambda: cache.get_bytes("large"),
                "get_many": lambda: cache.get_many(["json", "none", "large"]),
                "set": lambda: [cache.set("other", value, ttl=5) for value in ({"x": [1]}, b"x", "y")],
                "set_many": lambda: cache.set_many({"other": [1], "another": b"x"}, ttl=5),
                "delete": lambda: (cache.add("new", 1), cache.delete("new"), cache.exists("new")),
                "numbers": lambda: (cache.incr("n"), cache.expire("n", 50), cache.ttl("n"), cache.ttl("none")),
                "fetch": lambda: (cache.fetch("fruit", name="plum"), cache.fetch("slow", {"rounds": 5}), cache.figures()),
                "invalidate": lambda: cache.invalidate(key="other"),
                "cached": lambda: (f(1), f(1, b={"x": ["y", 1.5]}), f.key("x" * 500), f.invalidate(1)),
                "client": lambda: forebay.Client(daemon.url).close(),
                "used client": lambda: forebay.Client(daemon.url).get("json"),
                "TypeError": failing(lambda: cache.get(5), TypeError),
                "arguments": failing(lambda: cache.get("a", 1, 2), TypeError),
                "no JSON": failing(lambda: cache.set("a", {"x": object()}), TypeError),
                "too deep": failing(lambda: cache.set_many({"a": [1], "b": object()}), TypeError),
                "no key": failing(lambda: f(object()), TypeError),
                "NoSuchClass": failing(lambda: cache.fetch("none", name=5), forebay.NoSuchClass),
                "BadRequest": failing(lambda: cache.fetch("fruit", {"nam": 5}), forebay.BadRequest),
                "closed": failing(lambda: closed.get("a"), ValueError),
            }
            closed = forebay.Client(daemon.url)
            closed.close()
            for name, call in calls.items():
                # Caches of the interpreter's own may grow by a few at any time.
                self.assertLess(min(self.grown(call), self.grown(call)), 30, name)

    def test_arguments_have_the_references_they_had(self):
        with Daemon() as daemon:
            cache = self.client(daemon)
            key, default, value = "key number %d" % os.getpid(), object(), {"a": "b" * 50}

            def counts():
                return [sys.getrefcount(one) for one in (key, default, value, None, True, cache)]
            cache.set(key, value)
            before = counts()
            for _ in range(1000):
                cache.get(key, default)
                cache.peek("none of these", default)
                cache.get("none of these", default)
            for _ in range(200):
                cache.set(key, value, 60)
                cache.get_many([key, "none of these"])
                cache.set_many({key: value})
            after = counts()
            self.assertTrue(all(abs(a - b) < 20 for a, b in zip(after, before)), (before, after))


if __name__ == "__main__":
    forebay_server.main()
