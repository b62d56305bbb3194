#!/usr/bin/python3
"""TLS on both doors: with redis-cli, redis-py, curl, Python's ssl and our own program; certificates that are
exchanged while connections are open; and clients that do everything wrong."""

import http.client
import pathlib
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import warnings

import redis

from certificates import Authority
from forebay import CONFIG, PATIENCE, Replies, Server, TestCase, clean_environment, command, main, read_all, run

TLS = """
listen: {{resp_tls: "127.0.0.1:0", http_tls: "127.0.0.1:0"}}
tls: {{cert: {cert}, key: {key}, ca: {ca}, client_auth: {auth}, min_version: "{version}"}}
"""


class TlsServer(Server):
    """One with both doors of TLS too; its certificates are in its folder."""

    def __init__(self, auth="off", version="1.2", **options):
        self.place = pathlib.Path(tempfile.mkdtemp(prefix="forebay-tls."))
        self.authority = Authority(self.place)
        self.cert, self.key = self.authority.sign("server")
        super().__init__(CONFIG + TLS.format(cert=self.cert, key=self.key, ca=self.authority.cert, auth=auth,
                                             version=version), **options)

    def start(self):
        super().start()
        ready = self.wait_for("tls_ready")
        self.resps_port, self.https_port = (int(ready[door].rsplit(":", 1)[1]) for door in ("resp_tls", "http_tls"))
        return self

    def remove(self):
        super().remove()
        shutil.rmtree(self.place)

    def context(self, authority=None, client=None, version=None):
        context = ssl.create_default_context(cafile=(authority or self.authority).cert)
        if client:
            context.load_cert_chain(*client)
        if version:
            context.minimum_version = context.maximum_version = version
        return context

    def dial(self, port=None, **options):
        plain = socket.create_connection(("127.0.0.1", port or self.resps_port), PATIENCE)
        return self.context(**options).wrap_socket(plain, server_hostname="localhost")

    def reload(self):
        since = len(self.log.lines)
        self.send_signal(signal.SIGHUP)
        return since

    def serial(self, port=None):
        with self.dial(port) as connection:
            return connection.getpeercert()["serialNumber"]


class Clients(TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = TlsServer().start()

    @classmethod
    def tearDownClass(cls):
        cls.server.__exit__(None)

    def test_redis_py(self):
        with redis.Redis(port=self.server.resps_port, ssl=True, ssl_ca_certs=str(self.server.authority.cert),
                         ssl_check_hostname=True, decode_responses=True) as client:
            large = "x" * 3_000_000
            self.assertTrue(client.set("tls:large", large))
            self.assertEqual(client.get("tls:large"), large)
            pipe = client.pipeline(transaction=False)
            for i in range(2000):
                pipe.set(f"tls:{i}", i)
            for i in range(2000):
                pipe.get(f"tls:{i}")
            self.assertEqual(pipe.execute()[2000:], [str(i) for i in range(2000)])
        with self.server.redis() as client:
            self.assertEqual(client.get("tls:7"), "7")

    def test_redis_cli(self):
        done = subprocess.run(["redis-cli", "-p", str(self.server.resps_port), "--tls", "--cacert",
                               self.server.authority.cert, "ping"], capture_output=True, text=True, timeout=PATIENCE)
        self.assertEqual(done.stdout, "PONG\n", done.stderr)

    def test_curl(self):
        def curl(*words):
            return subprocess.run(["curl", "-sS", "--cacert", self.server.authority.cert, *words],
                                  capture_output=True, timeout=PATIENCE)
        url = f"https://localhost:{self.server.https_port}"
        done = curl(f"{url}/healthz", "--next", "-sS", "--cacert", self.server.authority.cert, f"{url}/healthz")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(curl("-X", "PUT", "--data-binary", "a value", f"{url}/v1/keys/tls%3Acurl").returncode, 0)
        self.assertEqual(curl(f"{url}/v1/keys/tls%3Acurl").stdout, b"a value")

    def test_large_bodies_over_https(self):
        connection = http.client.HTTPSConnection("localhost", self.server.https_port, timeout=PATIENCE,
                                                 context=self.server.context())
        self.addCleanup(connection.close)
        body = bytes(range(256)) * 20_000
        for _ in range(3):
            connection.request("PUT", "/v1/keys/tls:body", body)
            answer = connection.getresponse()
            answer.read()
            self.assertLess(answer.status, 300)
            connection.request("GET", "/v1/keys/tls:body")
            answer = connection.getresponse()
            self.assertEqual((answer.status, answer.read()), (200, body))
        connection.close()

    def test_our_own_program(self):
        place = f"localhost:{self.server.resps_port}"
        done = run("set", "tls:cli", "there", "--url", f"rediss://{place}?ca={self.server.authority.cert}")
        self.assertEqual(done.returncode, 0, done.stderr)
        done = run("get", "tls:cli", "--url", f"forebays://{place}?insecure=1")
        self.assertEqual((done.returncode, done.stdout), (0, "there\n"), done.stderr)
        done = run("get", "tls:cli", "--url", f"rediss://{place}", env={"SSL_CERT_FILE": str(self.server.authority.cert)})
        self.assertEqual(done.returncode, 0, done.stderr)
        done = run("get", "tls:cli", "--url", f"rediss://{place}")
        self.assertEqual(done.returncode, 3)
        self.assertIn("not to be trusted", done.stderr)
        done = run("get", "tls:cli", "--url", f"rediss://127.0.0.1:{self.server.resp_port}?insecure=1")
        self.assertEqual(done.returncode, 3)
        self.assertIn("does not speak TLS", done.stderr)

    def test_versions(self):
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            with self.server.dial(version=version) as connection:
                connection.sendall(command("PING"))
                self.assertEqual(Replies(connection).next(), b"PONG")
        context = self.server.context()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            context.minimum_version = ssl.TLSVersion.TLSv1
            context.maximum_version = ssl.TLSVersion.TLSv1_1
        context.set_ciphers("ALL:@SECLEVEL=0")
        with socket.create_connection(("127.0.0.1", self.server.resps_port), PATIENCE) as plain:
            with self.assertRaises(ssl.SSLError):
                context.wrap_socket(plain, server_hostname="localhost")

    def test_commands_in_pieces(self):
        with self.server.dial() as connection:
            for byte in command("ECHO", "in pieces"):
                connection.sendall(bytes([byte]))
            self.assertEqual(Replies(connection).next(), b"in pieces")

    def test_who_says_quit_is_told_goodbye(self):
        with self.server.dial() as connection:
            connection.sendall(command("QUIT"))
            # read_all() hears TLS's own end: without one, Python would raise here.
            self.assertEqual(read_all(connection), b"+OK\r\n")

    def test_who_closes_his_side_is_answered(self):
        with self.server.dial() as connection:
            connection.sendall(command("PING") * 3)
            socket.socket.shutdown(connection, socket.SHUT_WR)
            self.assertEqual(read_all(connection), b"+PONG\r\n" * 3)


class Hostile(TestCase):
    """Whatever comes in instead of a handshake hurts nobody else."""

    @classmethod
    def setUpClass(cls):
        cls.server = TlsServer().start()

    @classmethod
    def tearDownClass(cls):
        cls.server.__exit__(None)

    def tearDown(self):
        with self.server.dial() as connection:
            connection.sendall(command("PING"))
            self.assertEqual(Replies(connection).next(), b"PONG")
        connection = http.client.HTTPSConnection("localhost", self.server.https_port, timeout=PATIENCE,
                                                 context=self.server.context())
        connection.request("GET", "/healthz")
        self.assertEqual(connection.getresponse().status, 200)
        connection.close()

    def both(self, bytes_):
        """What somebody hears who says this without TLS."""
        heard = []
        for port in (self.server.resps_port, self.server.https_port):
            with self.server.socket(port) as plain:
                try:
                    plain.sendall(bytes_)
                    heard.append(read_all(plain))
                except (ConnectionResetError, BrokenPipeError):
                    heard.append(b"")
        return heard

    def test_no_tls_at_all(self):
        for said in (b"PING\r\n", command("SET", "tls:never", "x"), b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
                     bytes(range(256)) * 100):
            for heard in self.both(said):
                self.assertNotIn(b"PONG", heard)
                self.assertNotIn(b"HTTP/1.1 200", heard)
        with self.server.redis() as client:
            self.assertIsNone(client.get("tls:never"))
            self.assertGreater(int(client.info()["tls_failures"]), 0)
        self.server.wait_for("tls_handshake_failed")

    def test_a_hello_that_is_cut_and_one_that_is_none(self):
        hello = ssl.MemoryBIO(), ssl.MemoryBIO()
        peer = self.server.context().wrap_bio(*hello, server_hostname="localhost")
        with self.assertRaises(ssl.SSLWantReadError):
            peer.do_handshake()
        first = hello[1].read()
        for cut in (1, 5, len(first) // 2, len(first) - 1):
            for port in (self.server.resps_port, self.server.https_port):
                with self.server.socket(port) as plain:
                    plain.sendall(first[:cut])
        self.both(first[:6] + b"\xff" * (len(first) - 6))

    def test_garbage_behind_the_handshake(self):
        for port in (self.server.resps_port, self.server.https_port):
            plain = self.server.socket(port)
            hello = ssl.MemoryBIO(), ssl.MemoryBIO()
            peer = self.server.context().wrap_bio(*hello, server_hostname="localhost")
            while True:
                try:
                    peer.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    plain.sendall(hello[1].read())
                    hello[0].write(plain.recv(65536))
            plain.sendall(hello[1].read())
            plain.sendall(b"\x17\x03\x03\x00\x20" + b"\xaa" * 32)
            try:
                read_all(plain)
            except ConnectionResetError:
                pass
            plain.close()

    def test_who_never_shakes_hands_is_cut_off(self):
        silent = [self.server.socket(port) for port in (self.server.resps_port, self.server.https_port)]
        for plain in silent:
            plain.sendall(b"\x16\x03\x01")
        for plain in silent:
            try:
                self.assertEqual(read_all(plain), b"")
            except ConnectionResetError:
                pass
            plain.close()


class Certificates(TestCase):
    def test_they_are_exchanged_without_an_end_of_connections(self):
        with TlsServer() as server:
            with server.dial() as old:
                replies = Replies(old)
                before = server.serial()
                self.assertEqual(server.serial(server.https_port), before)
                server.authority.sign("server")
                since = server.reload()
                server.wait_for("reloaded", since)
                self.assertNotEqual(server.serial(), before)
                self.assertNotEqual(server.serial(server.https_port), before)
                old.sendall(command("PING"))
                self.assertEqual(replies.next(), b"PONG")

    def test_wrong_ones_are_refused_and_the_old_stay(self):
        with TlsServer() as server:
            before = server.serial()
            other, other_key = server.authority.sign("other")
            good = server.key.read_bytes()
            server.key.write_bytes(other_key.read_bytes())
            since = server.reload()
            self.assertIn("is not the key of", server.wait_for("reload_refused", since)["error"])
            self.assertEqual(server.serial(), before)
            server.key.write_text("no key at all\n")
            since = server.reload()
            self.assertIn("tls.key", server.wait_for("reload_refused", since)["error"])
            server.key.write_bytes(good)
            server.cert.unlink()
            since = server.reload()
            self.assertIn("No such file", server.wait_for("reload_refused", since)["error"])
            self.assertEqual(server.serial(server.https_port), before)
            server.cert.write_bytes(other.read_bytes())
            server.key.write_bytes(other_key.read_bytes())
            since = server.reload()
            server.wait_for("reloaded", since)
            self.assertNotEqual(server.serial(), before)

    def test_where_anything_else_is_refused_the_old_stay(self):
        with TlsServer() as server, server.redis() as client:
            before = server.serial()
            other, other_key = server.authority.sign("other")
            with self.assertRaisesRegex(redis.ResponseError, "memory cannot become"):
                client.execute_command("CONFIG", "SET", "tls.cert", str(other), "tls.key", str(other_key),
                                       "memory", "1TiB")
            self.assertEqual([server.serial(), server.serial(server.https_port)], [before, before])
            self.assertEqual(client.config_get("tls.cert"), {"tls.cert": str(server.cert)})
            server.file.write_text(server.file.read_text().replace(str(server.cert), str(other))
                                   .replace(str(server.key), str(other_key)) + "memory: 1TiB\n")
            since = server.reload()
            self.assertIn("memory cannot become", server.wait_for("reload_refused", since)["error"])
            self.assertEqual([server.serial(), server.serial(server.https_port)], [before, before])
            client.execute_command("CONFIG", "SET", "tls.cert", str(other), "tls.key", str(other_key))
            self.assertNotEqual(server.serial(), before)

    def test_a_start_with_wrong_ones_says_so(self):
        for break_it, said in ((lambda server: server.key.write_text("x"), "tls.key"),
                               (lambda server: server.cert.write_text("x"), "tls.cert"),
                               (lambda server: server.authority.cert.write_text("x"), "tls.ca"),
                               (lambda server: server.key.unlink(), "No such file")):
            server = TlsServer()
            try:
                break_it(server)
                done = subprocess.run(server.command, env=clean_environment(), cwd=server.folder, capture_output=True,
                                      text=True, timeout=PATIENCE)
                self.assertEqual(done.returncode, 2, done.stderr)
                self.assertIn(said, done.stderr)
            finally:
                server.remove()

    def test_one_that_runs_out_is_told(self):
        server = TlsServer()
        try:
            server.authority.sign("server", days=3)
            with server:
                self.assertIn("CN=server", server.wait_for("tls_certificate_expires")["subject"])
        except BaseException:
            server.remove()
            raise

    def test_no_certificate_no_door(self):
        done = run("check", "/dev/null", "--set", "listen.resp_tls=127.0.0.1:0")
        self.assertEqual(done.returncode, 2)
        self.assertIn("tls.cert", done.stderr)
        done = run("check", "/dev/null", "--set", "tls.cert=/x")
        self.assertIn("tls.key", done.stderr)


class ClientCertificates(TestCase):
    def ask(self, server, **options):
        with server.dial(**options) as connection:
            connection.sendall(command("PING"))
            return Replies(connection).next()

    def ask_http(self, server, **options):
        connection = http.client.HTTPSConnection("localhost", server.https_port, timeout=PATIENCE,
                                                 context=server.context(**options))
        try:
            connection.request("GET", "/healthz")
            return connection.getresponse().status
        finally:
            connection.close()

    def test_required(self):
        with TlsServer(auth="required", version="1.3") as server:
            mine = server.authority.sign("client")
            (server.place / "other").mkdir()
            stranger = Authority(server.place / "other").sign("stranger")
            self.assertEqual(self.ask(server, client=mine), b"PONG")
            self.assertEqual(self.ask_http(server, client=mine), 200)
            for ask in (self.ask, self.ask_http):
                with self.assertRaises((OSError, EOFError, http.client.HTTPException)):
                    ask(server)
                with self.assertRaises((OSError, EOFError, http.client.HTTPException)):
                    ask(server, client=stranger)
            with self.assertRaises(OSError):
                self.ask(server, client=mine, version=ssl.TLSVersion.TLSv1_2)
            done = run("get", "x", "--url", f"rediss://localhost:{server.resps_port}?ca={server.authority.cert}"
                                            f"&cert={mine[0]}&key={mine[1]}")
            self.assertEqual(done.returncode, 1, done.stderr)

    def test_optional(self):
        with TlsServer(auth="optional") as server:
            (server.place / "other").mkdir()
            stranger = Authority(server.place / "other").sign("stranger")
            self.assertEqual(self.ask(server), b"PONG")
            self.assertEqual(self.ask(server, client=server.authority.sign("client")), b"PONG")
            with self.assertRaises((OSError, EOFError)):
                self.ask(server, client=stranger)


if __name__ == "__main__":
    main()
