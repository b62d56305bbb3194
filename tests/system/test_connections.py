#!/usr/bin/python3
"""Connections as an operator meets them: how many there may be, what each may hold and how long it may be silent,
ten thousand of them at once, Unix sockets, and sockets that whoever started us has opened."""

import contextlib
import http.client
import os
import pathlib
import resource
import selectors
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile

import redis

from certificates import Authority
from forebay import (CONFIG, PATIENCE, PROGRAM, Log, Replies, Server, TestCase, clean_environment, command, event_of,
                     main, make_shop, read_all)

IDLE, BUSY, ROUNDS = 10_000, 200, 20
# File descriptors that the test and the server need for themselves.
SPARE = 600


class Limits(TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server().start()

    @classmethod
    def tearDownClass(cls):
        cls.server.__exit__(None)

    def setUp(self):
        self.client = self.server.redis()
        self.addCleanup(self.client.close)

    def configure(self, name, value):
        before = self.client.config_get(name)[name]
        self.client.config_set(name, value)
        self.addCleanup(lambda: self.server.redis().config_set(name, before))

    def count(self, name):
        with self.server.redis() as client:
            return int(client.info()[name])

    def hear_end(self, connection):
        """All that comes until the end, also where that is a reset."""
        got = b""
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            while more := connection.recv(65536):
                got += more
        return got

    def test_how_many(self):
        refused = self.count("rejected_connections")
        most = self.client.config_get("maxclients")["maxclients"]
        self.configure("maxclients", "4")
        self.assertEqual(self.client.config_get("maxclients"), {"maxclients": "4"})
        with contextlib.ExitStack() as stack:
            heard = b""
            while not heard:
                one = stack.enter_context(self.server.socket())
                with contextlib.suppress(ConnectionError):
                    one.sendall(command("PING"))
                heard = one.recv(100)
                heard = b"" if heard == b"+PONG\r\n" else heard
            self.assertEqual(heard, b"-ERR max number of clients reached\r\n")
            status, _, body = self.server.http("GET", "/healthz")
            self.assertEqual(status, 503)
            self.assertIn(b"listen.connections", body)
            full = self.server.wait_for("connections_full")
            self.assertEqual(int(full["connections"]), 4)
            self.client.config_set("maxclients", most)
            with self.server.socket() as one:
                one.sendall(command("PING"))
                self.assertEqual(one.recv(100), b"+PONG\r\n")
        self.assertGreaterEqual(self.count("rejected_connections"), refused + 2)

    def test_size_of_an_argument(self):
        self.configure("proto-max-bulk-len", "1mb")
        with self.server.socket() as one:
            one.sendall(b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1048577\r\n")
            self.assertEqual(self.hear_end(one), b"-ERR Protocol error: invalid bulk length\r\n")
        self.client.set("bulk", b"x" * 1048576)
        self.assertEqual(self.client.strlen("bulk"), 1048576)

    def test_size_of_a_command(self):
        before = self.count("client_query_buffer_limit_disconnections")
        self.configure("client-query-buffer-limit", "1048576")
        part = b"x" * 600_000
        with self.server.socket() as one, contextlib.suppress(ConnectionError):
            one.sendall(command("MSET", "a", part, "b", part))
            self.assertIn(b"too big request", self.hear_end(one))
        self.client.set("query", part)
        self.assertEqual(self.count("client_query_buffer_limit_disconnections"), before + 1)

    def test_silence(self):
        before = self.count("idle_disconnections")
        with self.server.socket() as one:
            one.sendall(command("PING"))
            self.assertEqual(one.recv(100), b"+PONG\r\n")
            # Long enough for the clients that change it back, also on a busy machine.
            self.configure("timeout", "5")
            self.assertEqual(self.hear_end(one), b"")
        self.assertGreater(self.count("idle_disconnections"), before)

    def flood(self, one):
        """Asks for 2 MB again and again and reads nothing, until it is over."""
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        with contextlib.suppress(ConnectionError):
            for _ in range(100):
                one.sendall(command("GET", "large"))
            one.settimeout(None)
            # Not before it is closed does this end; what is read on the way was in the socket.
            self.server.wait_for("output_limit_reached", self.since)
        self.assertLess(len(self.hear_end(one)), 200_000_000)

    def test_output_beyond_the_hard_limit(self):
        self.client.set("large", b"x" * 2_000_000)
        before = self.count("client_output_buffer_limit_disconnections")
        self.since = len(self.server.log.lines)
        self.configure("client-output-buffer-limit", "normal 1mb 0 0")
        with self.server.socket() as one:
            self.flood(one)
        self.assertEqual(self.count("client_output_buffer_limit_disconnections"), before + 1)

    def test_output_beyond_the_soft_limit_for_too_long(self):
        self.client.set("large", b"x" * 2_000_000)
        before = self.count("client_output_buffer_limit_disconnections")
        self.since = len(self.server.log.lines)
        self.configure("client-output-buffer-limit", "normal 0 100kb 1")
        with self.server.socket() as one:
            self.flood(one)
        self.assertEqual(self.count("client_output_buffer_limit_disconnections"), before + 1)

    def test_names_and_values_as_redis_has_them(self):
        for name, value, shown in (("client-output-buffer-limit", "normal 1gb 64mb 60", "normal 1073741824 67108864 60"),
                                   ("tcp-keepalive", "60", "60"), ("timeout", "0", "0"),
                                   ("client-query-buffer-limit", "2gb", "2147483648"),
                                   ("proto-max-bulk-len", "512mb", "536870912")):
            self.configure(name, value)
            self.assertEqual(self.client.config_get(name)[name], shown)
        for name, value in (("timeout", "-1"), ("timeout", "x"), ("maxclients", "0"), ("proto-max-bulk-len", "1k"),
                            ("client-output-buffer-limit", "normal 1 2"), ("client-output-buffer-limit", "wrong 1 2 3")):
            with self.assertRaises(redis.ResponseError, msg=(name, value)):
                self.client.config_set(name, value)

    def test_a_reload_changes_them(self):
        most = self.client.config_get("maxclients")["maxclients"]  # less than 10,000 where files are few
        self.server.file.write_text(CONFIG + "listen: {connections: 77, idle: 1h, output_soft: 1MiB}\n")
        since = len(self.server.log.lines)
        self.server.send_signal(1)
        self.server.wait_for("reloaded", since)
        self.assertEqual(self.client.config_get("maxclients")["maxclients"], "77")
        self.assertEqual(self.client.config_get("timeout")["timeout"], "3600")
        self.assertIn(" 1048576 ", self.client.config_get("client-output-buffer-limit")["client-output-buffer-limit"])
        self.server.file.write_text(CONFIG)
        since = len(self.server.log.lines)
        self.server.send_signal(1)
        self.server.wait_for("reloaded", since)
        self.assertEqual(self.client.config_get("maxclients")["maxclients"], most)


class Few(TestCase):
    def test_a_small_limit_of_open_files_is_said(self):
        server = Server()
        server.command = ["sh", "-c", 'ulimit -n 400 && exec "$@"', "sh", *server.command]
        with server:
            short = server.wait_for("descriptors_short")
            self.assertEqual(int(short["wanted"]), 10000)
            with server.redis() as client:
                self.assertEqual(client.config_get("maxclients")["maxclients"], str(short["connections"]))
                with self.assertRaisesRegex(redis.ResponseError, "not able to handle"):
                    client.config_set("maxclients", "1000")
                self.assertEqual(client.ping(), True)


class Many(TestCase):
    """10,000 that are idle, and 200 that are not: all get the right answers."""

    def test_idle_and_busy(self):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        idle_count = min(IDLE, hard - BUSY - SPARE) if hard != resource.RLIM_INFINITY else IDLE
        self.assertGreater(idle_count, 0, "no file descriptors to test with")
        with Server(arguments=("--set", "listen.connections=11000")) as server, contextlib.ExitStack() as stack:
            idle = [stack.enter_context(server.socket()) for _ in range(idle_count)]
            for number, one in enumerate(idle):
                one.sendall(command("SET", f"idle:{number}", number))
            for one in idle:
                self.assertEqual(one.recv(100), b"+OK\r\n")
            busy = [stack.enter_context(server.socket()) for _ in range(BUSY)]
            self.work(busy)
            with server.redis() as client:
                self.assertGreaterEqual(int(client.info()["connected_clients"]), idle_count + BUSY)
            # And those that were idle are there as before.
            for number, one in enumerate(idle):
                one.sendall(command("GET", f"idle:{number}"))
            for number, one in enumerate(idle):
                text = str(number).encode()
                self.assertEqual(one.recv(100), b"$%d\r\n%s\r\n" % (len(text), text))

    def work(self, busy):
        """Each says a pipeline, and the next one when all of it was answered."""
        selector = selectors.DefaultSelector()
        waiting = {}

        def say(one, number, turn):
            said, expected = b"", b""
            for step in range(10):
                key, value = f"busy:{number}:{step}", f"{number}/{turn}/{step}".encode()
                said += command("SET", key, value) + command("GET", key)
                expected += b"+OK\r\n$%d\r\n%s\r\n" % (len(value), value)
            waiting[one] = (number, turn, expected)
            one.sendall(said)

        for number, one in enumerate(busy):
            selector.register(one, selectors.EVENT_READ)
            say(one, number, 0)
        while waiting:
            ready = selector.select(PATIENCE)
            self.assertTrue(ready, f"{len(waiting)} got no answer")
            for key, _ in ready:
                one = key.fileobj
                number, turn, expected = waiting[one]
                got = one.recv(len(expected))
                self.assertTrue(got and expected.startswith(got), (number, turn, got, expected))
                waiting[one] = (number, turn, expected[len(got):])
                if len(got) == len(expected):
                    del waiting[one]
                    if turn + 1 < ROUNDS:
                        say(one, number, turn + 1)
        selector.close()


# Puts the file descriptors that it is given at 3, 4 …, as systemd does, and becomes the program.
LAUNCH = """
import os, sys
fds, names, program = [int(fd) for fd in sys.argv[1].split(",")], sys.argv[2], sys.argv[3:]
high = [os.dup2(fd, 100 + i, False) for i, fd in enumerate(fds)]
for i, fd in enumerate(high):
    os.dup2(fd, 3 + i)
    os.close(fd)
os.environ.update(LISTEN_PID=str(os.getpid() + int(os.environ.pop("PID_OFF", "0"))), LISTEN_FDS=str(len(fds)),
                  LISTEN_FDNAMES=names)
os.execv(program[0], program)
"""


class Started(TestCase):
    """A server started by hand, in a folder of the test's."""

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="forebay-test."))
        self.addCleanup(shutil.rmtree, self.folder)
        make_shop(self.folder / "shop.db")
        (self.folder / "forebay.yaml").write_text(CONFIG)
        self.sockets = []

    def listen(self, path=None):
        one = socket.socket(socket.AF_UNIX if path else socket.AF_INET)
        self.addCleanup(one.close)
        one.bind(str(path) if path else ("127.0.0.1", 0))
        one.listen(100)
        self.sockets.append(one)
        return one

    def start(self, names, *settings, env=None):
        words = [word for setting in ("log.format=json", "listen.resp=off", "listen.http=off", *settings)
                 for word in ("--set", setting)]
        fds = [one.fileno() for one in self.sockets]
        process = subprocess.Popen([sys.executable, "-c", LAUNCH, ",".join(map(str, fds)), names, PROGRAM, "serve",
                                    "--config", self.folder / "forebay.yaml", *words], pass_fds=fds,
                                   cwd=self.folder, env=clean_environment(env), stdin=subprocess.DEVNULL,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        self.log = Log(process.stderr)
        self.addCleanup(self.end, process)
        return process

    def end(self, process):
        if process.poll() is None:
            process.terminate()
            self.assertEqual(process.wait(PATIENCE), 0, "\n".join(self.log.lines))
        self.log.thread.join(PATIENCE)

    def ready(self):
        return event_of(self.log.wait(lambda line: event_of(line).get("event") == "ready"))

    def ask(self, one):
        with contextlib.closing(socket.socket(one.family)) as client:
            client.settimeout(PATIENCE)
            client.connect(one.getsockname())
            client.sendall(command("PING"))
            return Replies(client).next()


class Passed(Started):
    """Sockets that were there before the server was."""

    def test_every_door(self):
        authority = Authority(self.folder)
        cert, key = authority.sign("server")
        resp, http_, resps, https = (self.listen() for _ in range(4))
        # Somebody is there before anybody answers.
        early = socket.create_connection(resp.getsockname(), PATIENCE)
        early.sendall(command("PING"))
        self.start("resp:http:resp-tls:http-tls", f"tls.cert={cert}", f"tls.key={key}")
        self.assertEqual(Replies(early).next(), b"PONG")
        early.close()
        self.assertEqual(self.ready()["resp"], "127.0.0.1:%d" % resp.getsockname()[1])
        for _ in range(20):
            self.assertEqual(self.ask(resp), b"PONG")
            connection = http.client.HTTPConnection(*http_.getsockname(), timeout=PATIENCE)
            connection.request("GET", "/healthz")
            self.assertEqual(connection.getresponse().status, 200)
            connection.close()
        with redis.Redis(port=resps.getsockname()[1], ssl=True, ssl_ca_certs=str(authority.cert)) as client:
            self.assertTrue(client.ping())
        done = subprocess.run(["curl", "-sS", "--cacert", authority.cert, "https://localhost:%d/healthz" %
                               https.getsockname()[1]], capture_output=True, timeout=PATIENCE)
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_several_for_one_door_and_a_unix_socket_that_stays(self):
        path = self.folder / "passed.sock"
        first, second, local = self.listen(), self.listen(), self.listen(path)
        process = self.start("resp:resp:resp")
        for one in (first, second, local):
            self.assertEqual(self.ask(one), b"PONG")
        self.ready()
        self.end(process)
        self.assertTrue(path.exists())  # it is whose it was
        # So it can be taken over by the next one.
        self.start("resp:resp:resp")
        self.assertEqual(self.ask(local), b"PONG")

    def test_what_is_not_for_us_is_left_alone(self):
        self.listen()
        process = self.start("resp", "listen.http=127.0.0.1:0", env={"PID_OFF": "1"})
        self.assertEqual(self.ready()["resp"], "off")
        self.end(process)

    def test_what_has_no_name_of_ours_is_refused(self):
        self.listen()
        process = self.start("forebay.socket")
        self.assertEqual(process.wait(PATIENCE), 2)
        self.log.wait(lambda line: "FileDescriptorName" in line)

    def listen_for_all(self):
        one = socket.create_server(("0.0.0.0", 0))
        self.addCleanup(one.close)
        self.sockets.append(one)
        return one

    def test_one_that_other_hosts_can_reach_needs_a_password(self):
        one = self.listen_for_all()
        process = self.start("resp")
        self.assertEqual(process.wait(PATIENCE), 2)
        self.log.wait(lambda line: "other hosts can reach" in line)
        self.start("resp", "password=a-password-of-the-test")
        with redis.Redis(port=one.getsockname()[1], password="a-password-of-the-test") as client:
            self.assertTrue(client.ping())

    def test_one_of_several_that_other_hosts_can_reach_needs_a_password_too(self):
        self.listen()
        self.listen_for_all()
        process = self.start("resp:resp")
        self.assertEqual(process.wait(PATIENCE), 2)
        self.log.wait(lambda line: "other hosts can reach" in line)

    def test_a_reload_does_not_take_the_password_away_that_it_needs(self):
        file, password = self.folder / "forebay.yaml", "a-password-of-the-test"
        file.write_text(CONFIG + f"password: {password}\n")
        one = self.listen_for_all()
        process = self.start("resp")
        self.ready()
        file.write_text(CONFIG)
        process.send_signal(signal.SIGHUP)
        told = event_of(self.log.wait(lambda line: event_of(line).get("event") in ("reload_refused", "reloaded")))
        self.assertEqual(told["event"], "reload_refused")
        self.assertIn("other hosts can reach", told["error"])
        with socket.create_connection(one.getsockname(), PATIENCE) as client:
            client.sendall(command("PING"))
            self.assertIn("NOAUTH", str(Replies(client).next()))
        with redis.Redis(port=one.getsockname()[1], password=password) as client:
            self.assertTrue(client.ping())

    def test_what_does_not_listen_is_refused(self):
        one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(one.close)
        self.sockets.append(one)
        process = self.start("http")
        self.assertEqual(process.wait(PATIENCE), 3)
        self.log.wait(lambda line: "no stream socket" in line)


class UnixSockets(Started):
    """Both doors at paths, and who may use them."""

    def test_both_doors(self):
        resp, http_, own = (self.folder / name for name in ("resp.sock", "http.sock", "own.sock"))
        mask = os.umask(0o027)
        self.addCleanup(os.umask, mask)
        words = ["--set", "log.format=json", "--set", f"listen.resp=unix:{resp}", "--set", f"listen.http=unix:{http_}",
                 "--set", f"listen.socket={own}"]
        process = subprocess.Popen([PROGRAM, "serve", "--config", self.folder / "forebay.yaml", *words],
                                   cwd=self.folder, env=clean_environment(), stdin=subprocess.DEVNULL,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        self.log = Log(process.stderr)
        self.addCleanup(self.end, process)
        self.ready()
        modes = [stat.S_IMODE(path.stat().st_mode) for path in (resp, http_, own)]
        self.assertEqual(modes, [0o750, 0o750, 0o600])  # by the umask; `socket` is for us alone
        for path in (resp, own):
            with redis.Redis(unix_socket_path=str(path), decode_responses=True) as client:
                client.set("at", path.name)
                self.assertEqual(client.get("at"), path.name)
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(PATIENCE)
            client.connect(str(http_))
            client.sendall(b"GET /v1/keys/at HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            self.assertIn(b"own.sock", read_all(client))
        self.end(process)
        self.assertEqual([path.exists() for path in (resp, http_, own)], [False] * 3)


if __name__ == "__main__":
    main()
