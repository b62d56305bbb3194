#!/usr/bin/python3
"""Strangers at both ports, all at once: random bytes, half requests, claims of half a gigabyte, senders
and readers of a byte at a time, and as many connects as this machine gives (see flood.c). Meanwhile a
good client's answers stay right; afterwards nothing of it is left in the server.

How fast the answers are is for `make bench ONLY=flood` on a machine that is idle.
"""

import os
import pathlib
import subprocess
import threading

from forebay import CONFIG, PATIENCE, Server, TestCase, main

FLOOD = os.environ["FLOOD"]
CONNECTS, CROWD = 6000, 150
BIG = "big" * 20000
MEMORY_GROWTH = 48 << 20


def sockets(server):
    """Those that are open. (A worker that gets its first query opens the database.)"""
    found = []
    for one in pathlib.Path(f"/proc/{server.process.pid}/fd").iterdir():
        try:
            found.append(os.readlink(one))
        except FileNotFoundError:
            pass
    return [one for one in found if one.startswith("socket:")]


def resident(server):
    for line in pathlib.Path(f"/proc/{server.process.pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no VmRSS")


def sanitized(server):
    """Sanitizers keep what was freed, on purpose."""
    maps = pathlib.Path(f"/proc/{server.process.pid}/maps").read_text()
    return "libasan" in maps or "libtsan" in maps


class Good:
    """Asks over one connection, and checks each answer, until it is told to stop."""

    def __init__(self, ask):
        self.ask = ask
        self.answers = 0
        self.wrong = None
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        try:
            while not self.over.is_set():
                self.ask(self.answers)
                self.answers += 1
        except BaseException as error:  # pylint: disable=broad-except
            self.wrong = error

    def stop(self):
        self.over.set()
        self.thread.join(PATIENCE)
        if self.wrong is not None:
            raise self.wrong
        return self.answers


class FloodTest(TestCase):
    def by_resp(self, server):
        client = server.redis(socket_timeout=PATIENCE)

        def ask(number):
            key, value = f"good:{number % 50}", f"value {number}" * (1 + number % 200)
            self.assertTrue(client.set(key, value))
            self.assertEqual(client.get(key), value)
            self.assertEqual(client.incr("good:count"), number + 1)
            self.assertEqual(client.get("big"), BIG)
        return ask

    def by_http(self, server):
        def ask(number):
            key, value = f"/v1/keys/web:{number % 50}", f"page {number}".encode()
            status, _, _ = server.http("PUT", key, value)
            self.assertIn(status, (200, 201, 204))
            status, _, body = server.http("GET", key)
            self.assertEqual((status, body), (200, value))
        return ask

    def flood(self, server, seed):
        good = [Good(self.by_resp(server)), Good(self.by_http(server))]
        try:
            done = subprocess.run([FLOOD, str(server.resp_port), str(server.http_port), str(CONNECTS), "0",
                                   str(CROWD), str(seed)], capture_output=True, text=True, check=True,
                                  timeout=4 * PATIENCE)
        finally:
            answers = []
            for one in good:
                one.over.set()
            for one in good:
                answers.append(one.stop())
        connects, _, refused, _, _ = map(int, done.stdout.split())
        self.assertGreaterEqual(connects + refused, CONNECTS)
        self.assertGreater(connects, CONNECTS // 2)
        self.assertGreater(min(answers), 0)

    def await_quiet(self, server, client, most):
        """Until the strangers have gone: one connection is ours."""
        over = threading.Event()
        for _ in range(PATIENCE * 20):
            if client.info("clients")["connected_clients"] == 1 and len(sockets(server)) <= most:
                return
            over.wait(0.05)
        self.fail(f"{client.info('clients')['connected_clients']} connections; more than {most} sockets: "
                  + " ".join(sockets(server)))

    def test_good_clients_are_served_and_nothing_is_left(self):
        with Server(CONFIG) as server:
            client = server.redis(socket_timeout=PATIENCE)
            self.assertTrue(client.set("big", BIG))
            self.assertEqual(server.http("GET", "/v1/keys/big")[0], 200)
            self.assertEqual(client.execute_command("FB.FETCH", "CLASS", "fruit", "name", "apple")[:1], "{")
            before = len(sockets(server))
            self.flood(server, 1)
            self.await_quiet(server, client, before)
            client.delete("good:count")
            after_first = resident(server)
            self.flood(server, 2)
            self.await_quiet(server, client, before)
            if not sanitized(server):
                self.assertLess(resident(server), after_first + MEMORY_GROWTH)
            self.assertEqual(client.get("big"), BIG)
            self.assertEqual(server.http("GET", "/readyz")[0], 200)
            client.close()


if __name__ == "__main__":
    main()
