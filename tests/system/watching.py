"""Connections that watch keys, at several nodes over one Redis, for test_watch_shared.py and
test_watch_trouble.py."""

import os
import random

from forebay import Replies, TestCase, command
from shared import Stage

SEED = int(os.environ.get("SEED", random.SystemRandom().randrange(1 << 32)))
# No request is given up, and no node counts as behind, because the machine is busy.
PATIENT = ("--set", "redis.hard_timeout=20s", "--set", "redis.connect_timeout=20s")
MAX_LAG_MS = 60_000
MORE = """
  note: {key: "note:{id}", ttl: 1h, tags: ["about:{id}"], namespace: notes}
"""


class Line:
    """A connection, and its replies."""

    def __init__(self, test, server, port=None):
        self.socket = server.socket(port)
        self.replies = Replies(self.socket)
        test.addCleanup(self.close)

    def close(self):
        self.replies.file.close()
        self.socket.close()

    def send(self, *commands):
        self.socket.sendall(b"".join(command(*words) for words in commands))

    def say(self, *commands):
        """All in one piece; their replies, errors as text."""
        self.send(*commands)
        return [as_text(self.replies.next()) for _ in commands]

    def ask(self, *words):
        return self.say(words)[0]

    def execute(self, *commands):
        """MULTI … EXEC: what EXEC says."""
        said = self.say(("MULTI",), *commands, ("EXEC",))
        assert said[0] == b"OK" and set(said[1:-1]) <= {b"QUEUED"}, said
        return said[-1]


def as_text(reply):
    if isinstance(reply, list):
        return [as_text(one) for one in reply]
    return str(reply) if isinstance(reply, Exception) else reply


class Nodes(TestCase):
    """Three nodes over one Redis, for all tests of a class."""

    @classmethod
    def setUpClass(cls):
        print(f"SEED={SEED}", flush=True)
        cls.stage = Stage().__enter__()
        cls.addClassCleanup(cls.stage.__exit__, None)
        cls.redis = cls.stage.redis()
        cls.nodes = cls.stage.nodes(cls.redis.url, arguments=PATIENT, max_lag=MAX_LAG_MS, more=MORE)

    def line(self, number=0):
        return Line(self, self.nodes[number])
