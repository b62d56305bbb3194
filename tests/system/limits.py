"""What the tests of rate limits share: rules, questions whose times are known, and a crowd that asks.

What is counted is what was admitted, and when that can have been at the earliest and at the latest. A
slow machine makes that span longer; it never makes too much of too little.
"""

import collections
import threading
import time

import redis

from forebay import PATIENCE, TestCase
from shared import until

# Windows that nobody sees the end of.
LONG = "365d"
RULES = f"""
limits:
  ring: {{limit: 40, window: {LONG}, on_store_error: closed, timeout: 10s}}
  parts: {{limit: 150, window: {LONG}, on_store_error: closed, timeout: 10s}}
  bucket: {{algorithm: token, limit: 100, window: {LONG}, on_store_error: closed, timeout: 10s}}
  period: {{algorithm: fixed, limit: 90, window: {LONG}, on_store_error: closed, timeout: 10s}}
  chunky: {{algorithm: token, limit: 300, window: {LONG}, chunk: 7, on_store_error: closed}}
  shares: {{limit: 300, window: {LONG}, chunk: 7, on_store_error: closed}}
  patient: {{limit: 10, window: {LONG}, on_store_error: closed, timeout: 10s}}
  hot: {{algorithm: token, limit: 300, window: {LONG}, chunk: 7}}
  local: {{limit: 10, window: {LONG}, instances: 2, on_store_error: local}}
  open: {{limit: 10, window: {LONG}, on_store_error: open}}
  closed: {{limit: 10, window: {LONG}, on_store_error: closed}}
  shadowed: {{limit: 2, window: {LONG}, shadow: true}}
  listed: {{limit: 2, window: {LONG}, exempt: ["staff:*"], deny: ["bot:*"],
           tiers: {{premium: {{limit: 5}}, crew: {{exempt: true}}}}}}
  lease: {{algorithm: slots, limit: 3, window: 1h, on_store_error: closed, timeout: 10s}}
"""


def pairs(flat):
    return dict(zip(flat[::2], flat[1::2])) if isinstance(flat, list) else flat


class Asked:
    """One question and its answer."""

    def __init__(self, client, *words):
        self.sent = time.monotonic()
        self.words = words
        self.verdict = pairs(client.execute_command("FB.LIMIT", *words))
        self.came = time.monotonic()

    @property
    def admitted(self):
        return self.verdict["allowed"] == 1


def verdict_of(node, *words):
    with node.redis() as client:
        return pairs(client.execute_command("FB.LIMIT", *words))


def surely(node, *words):
    """The answer to a command that needs the shared tier, which may be slow for a moment."""
    return until(lambda: (node.ask(*words),), words[0])[0]


class Crowd:
    """Asks nodes the same question on several connections each, until the end of a `with` or `count`
    times each. What went wrong otherwise is in `errors`."""

    def __init__(self, nodes, words, count=None, connections=2, pause=0.001):
        self.words, self.count, self.pause = words, count, pause
        self.asked, self.admitted, self.errors = 0, [], []
        self.tally, self.lock = collections.Counter(), threading.Lock()
        self.ended = threading.Event()
        self.threads = [threading.Thread(target=self.run, args=(node,), daemon=True)
                        for node in nodes for _ in range(connections)]
        for thread in self.threads:
            thread.start()

    def run(self, node):
        done = 0
        with node.redis(socket_timeout=PATIENCE) as client:
            while not self.ended.is_set() and done != self.count:
                try:
                    self.take(Asked(client, *self.words))
                except redis.RedisError as error:
                    self.errors.append(error)
                done += 1
                if self.count is None:
                    time.sleep(self.pause)

    def take(self, one):
        with self.lock:
            self.asked += 1
            self.tally.update((name, one.verdict[name]) for name in ("source", "degraded", "denied"))
            if one.admitted:
                self.admitted.append(one)

    def count_of(self, name, value):
        with self.lock:
            return self.tally[name, value]

    def join(self):
        for thread in self.threads:
            thread.join(PATIENCE)
        return self

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.join()


class Limits(TestCase):
    """What holds on any node."""

    def check_windows(self, admitted, limit, window_s):
        """No window had more than the limit, wherever between question and answer each was decided."""
        for first in admitted:
            certain = [one for one in admitted if one.sent >= first.sent and one.came < first.sent + window_s]
            self.assertLessEqual(len(certain), limit)

    def check_errors(self, crowd):
        self.assertEqual(crowd.errors, [])
        for thread in crowd.threads:
            self.assertFalse(thread.is_alive(), "a question without an answer")
