#!/usr/bin/python3
"""examples/limits as it stands there: a real nginx that asks forebay before each request, and a view in
Python."""

import http.client
import http.server
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import unittest

from forebay import PATIENCE, ROOT, Log, Server, TestCase, clean_environment, main, run

EXAMPLES = ROOT / "examples/limits"
NGINX = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
PAGES, GENERATIONS = 5, 10


def start_forebay():
    # Windows that a slow machine does not see the end of.
    config = (EXAMPLES / "forebay.yaml").read_text().replace("window: 10s", "window: 10m")
    return Server(config.replace("window: 1m", "window: 1h"))


def get(port, path="/", host="127.0.0.1", method="GET", body=None, **headers):
    connection = http.client.HTTPConnection(host, port, timeout=PATIENCE)
    try:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


class Application(http.server.ThreadingHTTPServer):
    """What nginx stands in front of."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(403 if self.path == "/forbidden" else 200)
            self.end_headers()
            self.wfile.write(b"the application")

        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):  # pylint: disable=arguments-differ
            pass

    def __init__(self):
        super().__init__(("127.0.0.1", 0), self.Handler)
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    def close(self):
        self.shutdown()
        self.server_close()


class Examples(TestCase):
    def test_the_configuration_is_valid(self):
        done = run("check", EXAMPLES / "forebay.yaml")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_the_view(self):
        program = (EXAMPLES / "view.py").read_text()
        self.assertEqual(program.count("socket_timeout=1)"), 1)
        # The deadline is that of a machine that is not tested upon.
        program = program.replace("socket_timeout=1)", "socket_timeout=60)")
        with start_forebay() as server, tempfile.TemporaryFile("w+") as errors:
            view = subprocess.Popen(["/usr/bin/python3", "-c", program, server.url, "0"], text=True,
                                    stdout=subprocess.PIPE, stderr=errors, env=clean_environment())
            try:
                port = int(re.search(r":(\d+)/", view.stdout.readline())[1])
                for left in range(GENERATIONS - 1, -1, -1):
                    status, headers, body = get(port, "/generate?hello", **{"X-User": "ada"})
                    self.assertEqual((status, json.loads(body)), (200, {"generated": "olleh"}))
                    self.assertEqual((headers["X-RateLimit-Limit"], headers["X-RateLimit-Remaining"]),
                                     (str(GENERATIONS), str(left)))
                status, headers, body = get(port, "/generate?hello", **{"X-User": "ada"})
                self.assertEqual((status, headers["X-RateLimit-Remaining"]), (429, "0"))
                self.assertTrue(0 < int(headers["Retry-After"]) <= 3600, headers["Retry-After"])
                self.assertRegex(json.loads(body)["error"], r"^Rate limit exceeded\. Try again in .*\.$")
                self.assertEqual(get(port, **{"X-User": "bob"})[0], 200)
                self.assertEqual(get(port, **{"X-User": "premium:eve"})[1]["X-RateLimit-Limit"], "100")
                server.stop()
                self.assertEqual(get(port, **{"X-User": "ada"})[0], 200)  # nothing stands still without it
            finally:
                view.kill()
                view.wait(PATIENCE)
                view.stdout.close()
            errors.seek(0)
            self.assertIn("not limited", errors.read())


@unittest.skipUnless(NGINX, "no nginx here")
class InFrontOfAnApplication(TestCase):
    def start_nginx(self, forebay_port, application_port):
        """Its port, which the kernel has chosen: it is handed the socket as a new nginx is by an old one."""
        folder = tempfile.mkdtemp(prefix="nginx.")
        self.addCleanup(shutil.rmtree, folder)
        listener = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listener.close)
        port = listener.getsockname()[1]
        text = (EXAMPLES / "nginx.conf").read_text()
        for place, found in ((":8080;", forebay_port), (":8000;", application_port), ("listen 127.0.0.1:8081;", port)):
            self.assertEqual(text.count(place), 1, place)
            text = text.replace(place, f"listen 127.0.0.1:{found};" if "listen" in place else f":{found};")
        # The deadlines are those of a machine that is not tested upon.
        text = text.replace("100ms;", "60s;").replace("1s;", "60s;")
        with open(f"{folder}/nginx.conf", "w", encoding="utf-8") as file:
            file.write(text)
        # Where root runs the tests, the folders of these are for root alone.
        more = "user root;" if os.geteuid() == 0 else ""
        nginx = subprocess.Popen([NGINX, "-e", "stderr", "-p", folder, "-c", f"{folder}/nginx.conf",
                                  "-g", f"daemon off; {more}"], pass_fds=(listener.fileno(),), text=True,
                                 env=clean_environment({"NGINX": f"{listener.fileno()};"}),
                                 stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        log = Log(nginx.stderr)

        def end():
            nginx.send_signal(signal.SIGTERM)
            nginx.wait(PATIENCE)
            log.thread.join(PATIENCE)
        self.addCleanup(end)
        return port

    def test_nginx_asks_forebay(self):
        application = Application()
        self.addCleanup(application.close)
        with start_forebay() as server:
            port = self.start_nginx(server.http_port, application.server_port)
            for left in range(PAGES - 1, -1, -1):
                method, body, path = [("GET", None, "/forbidden"), ("POST", "a letter", "/")][left % 2]
                status, headers, answer = get(port, path, method=method, body=body)
                self.assertEqual((status, answer), (403, b"the application") if body is None else (200, b"a letter"))
                self.assertIn(f"r={left}", headers["RateLimit"])
                self.assertIn(f"q={PAGES}", headers["RateLimit-Policy"])
                self.assertIsNone(headers["Retry-After"])
            status, headers, answer = get(port)
            self.assertEqual((status, answer), (429, b"Too many requests.\n"))
            self.assertTrue(0 < int(headers["Retry-After"]) <= 600, headers["Retry-After"])
            self.assertIn("r=0", headers["RateLimit"])
            self.assertEqual(server.get_json("/v1/limits/page/127.0.0.1")["remaining"], 0)
            server.http("DELETE", "/v1/limits/page/127.0.0.1")
            self.assertEqual(get(port)[0], 200)
            server.stop()
            for _ in range(2 * PAGES):
                self.assertEqual(get(port)[0], 200)  # it passes where nobody can say


if __name__ == "__main__":
    main()
