#!/usr/bin/python3
"""The quick start as `make run` does it, on a small made-up catalogue; and the catalogue itself."""

import json
import os
import pathlib
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import tempfile
import urllib.request

from forebay import PATIENCE, PROGRAM, ROOT, Log, TestCase, clean_environment, main, run

RECORDS = """\
Package: alpha
Version: 1.0-1
Installed-Size: 10
Maintainer: A <a@example.org>
Architecture: all
Pre-Depends: dpkg (>= 1.15)
Depends: beta (>= 2) | gamma:any, beta, delta [amd64],
 epsilon
Description: the first
 Long words
 .
 and more.
Homepage: https://example.org/
Section: utils
Priority: optional
Size: 1234

Package: beta
Version: 2
Architecture: amd64
Description-en: has "quotes", 'single' ones, a | and a tab\t here
Size: 5
"""


class Catalogue(TestCase):
    def setUp(self):
        self.folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.base = self.folder / "catalogue.db"

    def make(self, *words, status=0):
        done = subprocess.run([ROOT / "tools/catalogue", self.base, *map(str, words)], text=True,
                              capture_output=True, timeout=PATIENCE, cwd=self.folder)
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        self.assertEqual([path.name for path in self.folder.glob(".catalogue*")], [])
        return done.stdout + done.stderr

    def rows(self, query):
        with sqlite3.connect(self.base) as base:
            found = base.execute(query).fetchall()
        base.close()
        return found

    def test_records_become_rows(self):
        (self.folder / "dump").write_text(RECORDS)
        self.make("dump")
        self.assertEqual(self.rows("SELECT name, version, architecture, section, priority, installed_size, "
                                   "size, maintainer, homepage, description, details FROM package"), [
            ("alpha", "1.0-1", "all", "utils", "optional", 10, 1234, "A <a@example.org>",
             "https://example.org/", "the first", "Long words\n\nand more."),
            ("beta", "2", "amd64", "none", None, None, 5, None, None,
             "has \"quotes\", 'single' ones, a | and a tab\t here", None)])
        self.assertEqual(self.rows("SELECT package, depends_on FROM dependency"),
                         [("alpha", name) for name in ("beta", "delta", "dpkg", "epsilon", "gamma")])
        self.assertEqual(self.rows("SELECT rowid FROM package_text WHERE package_text MATCH 'quote'"), [(2,)])

    def test_made_up_packages_are_the_same_every_time(self):
        self.assertIn("500 packages", self.make(500))
        first = self.rows("SELECT * FROM package"), self.rows("SELECT * FROM dependency")
        self.assertEqual(len(first[0]), 500)
        self.assertGreater(len(first[1]), 1000)
        self.base.unlink()
        self.make(500)
        self.assertEqual((self.rows("SELECT * FROM package"), self.rows("SELECT * FROM dependency")), first)

    def test_it_is_made_once(self):
        self.make(50)
        before = self.base.stat()
        self.assertEqual(self.make(60), "")
        self.assertEqual(self.base.stat().st_ino, before.st_ino)

    def test_one_of_another_shape_is_made_again(self):
        self.make(50)
        with sqlite3.connect(self.base) as base:
            base.execute("UPDATE catalogue SET shape = 0")
        base.close()
        self.assertIn("60 packages", self.make(60))

    def test_what_is_somebody_elses_is_left_alone(self):
        self.base.write_text("my diary")
        self.assertIn("no catalogue", self.make(50, status=1))
        self.assertEqual(self.base.read_text(), "my diary")

    def test_nothing_is_left_of_a_failure(self):
        self.make(self.folder / "nosuch", status=1)
        self.assertFalse(self.base.exists())

    def test_where_apt_knows_nothing_packages_are_made_up(self):
        (self.folder / "bin").mkdir()
        fake = self.folder / "bin/apt-cache"
        fake.write_text("#!/bin/sh\nexit 100\n")
        fake.chmod(0o755)
        done = subprocess.run([ROOT / "tools/catalogue", self.base], text=True, capture_output=True,
                              timeout=PATIENCE,
                              env={**os.environ, "PATH": f"{self.folder}/bin:{os.environ['PATH']}"})
        self.assertIn("apt knows no packages here", done.stdout)
        self.assertEqual(self.rows("SELECT count(*) FROM package"), [(30000,)])


class QuickStart(TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(cls.enterClassContext(tempfile.TemporaryDirectory()))
        build = cls.folder / "build"
        build.mkdir()
        (build / "forebay").symlink_to(PROGRAM)
        cls.env = clean_environment({
            "BUILD": str(build), "CATALOGUE": str(cls.folder / "catalogue.db"), "PACKAGES": "2000",
            "FOREBAY_LISTEN_RESP": "127.0.0.1:0", "FOREBAY_LISTEN_HTTP": "127.0.0.1:0"})

    @staticmethod
    def heed_signals():
        """Behind an ampersand SIGINT is ignored, behind nohup SIGHUP, and a shell cannot undo that."""
        for number in (signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)

    def start(self, **env):
        process = subprocess.Popen([ROOT / "tools/quickstart"], env={**self.env, **env}, text=True,
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.STDOUT,
                                   preexec_fn=self.heed_signals)
        self.addCleanup(self.end, process)
        return process, Log(process.stdout)

    def end(self, process):
        if process.poll() is None:
            process.terminate()
            process.wait(PATIENCE)

    def stop(self, process, log, number):
        process.send_signal(number)
        self.assertEqual(process.wait(PATIENCE), 0)
        log.thread.join(PATIENCE)
        self.assertIn(" stopped ", log.lines[-1])

    def addresses(self, log):
        ready = log.wait(lambda line: " ready " in line)
        return re.search(r"resp=(\S+)", ready)[1], re.search(r"http=(\S+)", ready)[1]

    def test_it_serves_says_what_to_try_and_stops_at_ctrl_c(self):
        process, log = self.start()
        resp, http = self.addresses(log)
        log.wait(lambda line: "Ctrl-C stops it" in line)
        text = "\n".join(log.lines)
        urls = re.findall(r"http://[^\s']+", text)
        self.assertEqual(len(urls), 7)
        for url in urls:
            with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
                self.assertTrue(json.load(answer), url)
        tried = [line.split("forebay ", 1)[1].split() for line in log.lines
                 if re.match(r"  \w.*/forebay (fetch|bench|explain) ", line)]
        self.assertEqual(len(tried), 4)
        for words in tried:
            done = run(*words, cwd=self.folder)
            self.assertEqual(done.returncode, 0, (words, done.stderr))
        if shutil.which("redis-cli"):
            for line in log.lines:
                if "redis-cli" in line:
                    words = line[line.index("redis-cli"):].split()
                    done = subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE)
                    self.assertRegex(done.stdout, "OK|bash")
        self.stop(process, log, signal.SIGINT)

    def test_terminate_stops_it_too(self):
        process, log = self.start()
        self.addresses(log)
        self.stop(process, log, signal.SIGTERM)

    def test_a_signal_at_any_moment_of_the_start_leaves_nothing_behind(self):
        place = self.folder / "early"
        (place / "tmp").mkdir(parents=True)
        for number, status in ((signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)):
            # As the last thing before the server is started, and while it is.
            for name, statuses in (("mkfifo", {status}), ("setsid", {0, 143})):
                with self.subTest(number=number.name, at=name):
                    tool = place / name
                    tool.write_text(f'#!/bin/sh\nkill -{int(number)} "$PPID"\nexec {shutil.which(name)} "$@"\n')
                    tool.chmod(0o755)
                    process, log = self.start(PATH=f"{place}:{os.environ['PATH']}", TMPDIR=str(place / "tmp"))
                    self.assertIn(process.wait(PATIENCE), statuses)
                    log.thread.join(PATIENCE)  # nobody who writes to it is left
                    self.assertTrue(log.ended)
                    self.assertEqual(list((place / "tmp").iterdir()), [])
                    tool.unlink()

    def test_every_class_of_the_example_answers(self):
        process, log = self.start()
        resp, _ = self.addresses(log)

        def fetch(*words):
            done = run("fetch", *words, "--json", "--url", resp)
            self.assertIn(done.returncode, (0, 1), done.stderr)
            return json.loads(done.stdout)

        bash = fetch("package", "name= BASH")
        self.assertEqual(bash["name"], "bash")
        self.assertIsNone(fetch("package", "name=nosuch"))
        page, rest = fetch("section", f"section={bash['section']}"), fetch("section", f"section={bash['section']}",
                                                                           "page=2")
        self.assertEqual(len(page), 50)
        self.assertLess(page[-1]["name"], rest[0]["name"])
        found = fetch("search", "words=anchor  AMBER")
        self.assertIn("amber-anchor", [row["name"] for row in found])
        for words in ("c++", '"', "a OR b", "*", "'; DROP TABLE package; --", "-"):
            self.assertIsInstance(fetch("search", f"words={words}"), list)
        needs = fetch("reverse_dependencies", "name=libc6")
        self.assertEqual(len(needs), 50)
        self.assertGreater(needs[0]["total"], 500)
        like = fetch("recommendations", "name=vim", "count=5")
        self.assertEqual(len(like), 5)
        self.assertEqual(like, sorted(like, key=lambda row: (-row["similarity"], row["name"])))
        self.stop(process, log, signal.SIGINT)

    def test_a_taken_port_is_explained(self):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            process, log = self.start(FOREBAY_LISTEN_RESP=f"127.0.0.1:{port}")
            self.assertEqual(process.wait(PATIENCE), 3)
            log.thread.join(PATIENCE)
        text = "\n".join(log.lines)
        self.assertIn(f"127.0.0.1:{port} is taken by ", text)
        self.assertIn(f"process {os.getpid()}", text)
        self.assertIn(f"make run FOREBAY_LISTEN_RESP=127.0.0.1:{port + 10}", text)
        self.assertNotIn("Try, in another terminal", text)

    def test_a_wrong_option_is_explained(self):
        process, log = self.start(FOREBAY_MEMORY="much")
        self.assertEqual(process.wait(PATIENCE), 2)
        log.thread.join(PATIENCE)
        self.assertIn("FOREBAY_MEMORY", "\n".join(log.lines))


if __name__ == "__main__":
    main()
