"""What the tests here share. They need the package installed, and no daemon: what is set stays in
this process's private memory."""

import os
import socket
import unittest

import forebay

# How long anything may take before a test gives up.
PATIENCE = 60
HELD = []


def nobody():
    """The address of a port at which nobody listens, nor can while these tests run."""
    if not HELD:
        HELD.append(socket.socket())
        HELD[0].bind(("127.0.0.1", 0))
    return "127.0.0.1:%d" % HELD[0].getsockname()[1]


class TestCase(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        self.cache = forebay.Client(nobody())
        self.addCleanup(self.cache.close)

    def quiet(self):
        """For tests in which an outage is no news."""
        logs = self.assertLogs("forebay", "DEBUG")
        logs.__enter__()
        forebay._cached.logger.debug("nothing")
        self.addCleanup(logs.__exit__, None, None, None)


def in_child(work):
    """Runs work() in a forked child; its exit status is what this returns."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    return os.waitpid(pid, 0)[1]
