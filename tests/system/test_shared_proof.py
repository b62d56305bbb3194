#!/usr/bin/python3
"""The promise of the shared tier, proved over real processes: three nodes over Redis (alone, behind
Sentinels, a Cluster of six), writers, invalidators and readers on all of them, while servers and nodes
are killed, stopped, failed over, resharded and emptied, connections killed and links cut.

A writer commits the next version of a row to SQLite, then invalidates what shows it (by key, tag,
class, pattern, or all) with WAIT REDIS. A read is stale if it shows an older version although

  - the invalidation was answered by the node that is read, which has not been restarted since: at
    once, also where it had not reached Redis; or
  - it was answered as having reached Redis, max_lag or longer before the read began, and the node was
    coherent from before the read until after it: FB.SHARED before it said so, and that its last proof
    was so young that it lasted beyond the read's end.

Exempt is only what Redis itself may have lost: it replicates asynchronously, so what was answered from
a second before a fail-over until it was over binds nobody until max_lag after all nodes were coherent
again; and not at all where the node that made the change did not live until then, or was away.

    test_shared_proof.py [--seconds N] [--seed S] [--only alone|sentinel|cluster]

The suite takes some 10 s for each; longer runs by hand print the same table.
"""

import argparse
import collections
import json
import random
import sys
import threading
import time

import redis

from forebay import PATIENCE
from shared import HAS_REDIS, Stage, until

MAX_LAG_MS = 1000
MAX_LAG = MAX_LAG_MS / 1000
ROWS, GROUPS = 40, 4
READERS, WRITERS = 2, 1  # on each node
BATCH = 8  # reads between two looks at FB.SHARED

CLASSES = """
  item:
    key: "item:{id}"
    source: shop
    query: "SELECT id, version, part FROM item WHERE id = :id"
    one: true
    ttl: 1h
    memory_ttl: 1h
    tags: ["part:{part}"]
  page:
    key: "page:{part}:{id}"
    source: shop
    query: "SELECT id, version, part FROM item WHERE id = :id AND part = :part"
    one: true
    ttl: 1h
    memory_ttl: 1h
    index: [part]
    tags: ["part:{part}"]
"""

Ack = collections.namedtuple("Ack", "version at node life reached words")


class Judge:
    """What was acknowledged, and what a read may show after it."""

    def __init__(self):
        self.lock = threading.Lock()
        self.acks = collections.defaultdict(lambda: collections.deque(maxlen=2000))
        self.losses = []  # [begin, end or None, nodes' lives at its begin]
        self.stale = []
        self.counts = collections.Counter()

    def acknowledged(self, targets, versions, ack):
        with self.lock:
            for target in targets:
                self.acks[target].append(ack._replace(version=versions[target[1]]))

    def loss_begins(self):
        with self.lock:
            self.losses.append([time.monotonic(), None])

    def loss_ends(self):
        with self.lock:
            self.losses[-1][1] = time.monotonic()

    def is_lost(self, ack, began):
        """Whether a fail-over may have taken it back, as far as who reads then can know."""
        for begin, end in self.losses:
            if ack.at < begin - 1 or (end is not None and ack.at > end):
                continue
            if end is None or began < end or ack.node.life != ack.life or ack.node.born > begin - 1:
                return True
        return False

    def binds(self, ack, node, life, began, coherent):
        if self.is_lost(ack, began):
            return False
        if ack.node is node and ack.life == life:
            return ack.at < began
        return coherent and ack.reached and ack.at + MAX_LAG < began

    def read(self, target, node, life, began, coherent, version):
        with self.lock:
            self.counts["reads"] += 1
            self.counts["coherent"] += coherent
            bound = False
            for ack in reversed(self.acks[target]):
                if bound and version >= ack.version:
                    continue
                if not self.binds(ack, node, life, began, coherent):
                    continue
                self.counts["bound"] += not bound
                bound = True
                if version < ack.version:
                    self.stale.append((target, version, ack.version, began - ack.at, ack.words, ack.reached,
                                       "same node" if ack.node is node else "another node", began))
                    return


class Proof:
    def __init__(self, stage, seed, url=None, links=None):
        self.stage, self.seed = stage, seed
        self.chance = random.Random(seed)
        self.judge = Judge()
        self.faults = collections.Counter()
        self.versions = [1] * ROWS
        self.commits = threading.Lock()
        self.ended = threading.Event()
        self.problems = []
        self.links = links or []
        stage.write("CREATE TABLE item (id INTEGER PRIMARY KEY, version INTEGER, part INTEGER)")
        for row in range(ROWS):
            stage.write("INSERT INTO item VALUES (?, 1, ?)", row, row % GROUPS)
        urls = [link.url for link in links] if links else [url] * 3
        self.nodes = [stage.node(one, more=CLASSES, max_lag=MAX_LAG_MS) for one in urls]
        for node in self.nodes:
            node.life, node.born = 0, 0

    # ---- who works

    def guard(self, work, *arguments):
        def run():
            try:
                work(*arguments)
            except Exception as error:  # shown at the end, with all else
                self.problems.append(f"{work.__name__}: {error!r}")
        return threading.Thread(target=run, daemon=True)

    def write(self, node, number):
        """Commits and invalidates, again and again."""
        chance = random.Random(f"{self.seed} writer {number}")
        client = None
        while not self.ended.is_set():
            rows = chance.sample(range(ROWS), chance.choice((1, 1, 1, 3)))
            with self.commits:
                for row in rows:
                    self.stage.write("UPDATE item SET version = version + 1 WHERE id = ?", row)
                    self.versions[row] += 1
                versions = list(self.versions)
            words, targets = self.invalidation(chance, rows[0])
            life = node.life
            try:
                client = client or node.redis(socket_timeout=PATIENCE)
                client.execute_command("FB.INVALIDATE", "WAIT", "REDIS", *words)
                reached = True
            except redis.ResponseError as error:
                if not str(error).startswith("NOTREACHED"):
                    self.problems.append(f"{words}: {error}")
                reached = False
            except (redis.RedisError, OSError):  # the node was killed: nobody said anything
                client = None
                time.sleep(0.05)
                continue
            self.judge.acknowledged(targets, versions, Ack(0, time.monotonic(), node, life, reached, words))
            self.judge.counts["changes"] += 1
            self.judge.counts["reached"] += reached
            time.sleep(chance.random() * 0.02)

    @staticmethod
    def invalidation(chance, row):
        """(words, what it is about)"""
        part, dice = row % GROUPS, chance.random()
        if dice < 0.6:
            return ("KEY", f"item:{row}", f"page:{part}:{row}"), [("item", row), ("page", row)]
        if dice < 0.75:
            return ("TAG", f"part:{part}"), [(name, one) for one in range(part, ROWS, GROUPS)
                                             for name in ("item", "page")]
        if dice < 0.85:
            return ("PATTERN", f"page:{part}:*"), [("page", one) for one in range(part, ROWS, GROUPS)]
        if dice < 0.92:
            return ("CLASS", "item"), [("item", one) for one in range(ROWS)]
        if dice < 0.98:
            return ("PATTERN", f"it?m:*{row % 10}"), [("item", one) for one in range(row % 10, ROWS, 10)]
        return ("ALL",), [(name, one) for one in range(ROWS) for name in ("item", "page")]

    def read(self, node, number):
        chance = random.Random(f"{self.seed} reader {number}")
        client = None
        while not self.ended.is_set():
            try:
                life = node.life
                client = client or node.redis(socket_timeout=PATIENCE)
                self.read_batch(client, node, life, chance)
            except redis.ResponseError as error:
                self.problems.append(f"a read: {error}")
            except (redis.RedisError, OSError):
                client = None
                time.sleep(0.05)

    def read_batch(self, client, node, life, chance):
        asked = time.monotonic()
        flat = client.execute_command("FB.SHARED")
        shared = dict(zip(flat[::2], flat[1::2]))
        good = shared["state"] == "connected" and shared["degraded"] == 0 and shared["lag_ms"] >= 0
        # Until when it is coherent for sure, whatever happens.
        until_when = asked - shared["lag_ms"] / 1000 + MAX_LAG if good else 0
        for _ in range(BATCH):
            row = chance.randrange(ROWS)
            name = chance.choice(("item", "page"))
            words = ("id", row) if name == "item" else ("part", row % GROUPS, "id", row)
            began = time.monotonic()
            value = client.execute_command("FB.FETCH", name, *words)
            coherent = time.monotonic() < until_when
            self.judge.counts["slow"] += time.monotonic() - began > 1
            if node.life == life:
                self.judge.read((name, row), node, life, began, coherent, json.loads(value)["version"])
        time.sleep(0.001)

    # ---- what goes wrong

    def pause(self, least, most):
        time.sleep(least + self.chance.random() * (most - least))

    def kill_node(self):
        node = self.chance.choice(self.nodes)
        node.life += 1
        node.kill()
        self.pause(0, 0.3)
        node.born = time.monotonic()
        node.start()

    def wait_coherent(self):
        for node in self.nodes:
            node.wait_coherent()

    def run(self, seconds, faults):
        """Everything at once for so long; `faults`: {name: function}."""
        threads = [self.guard(self.read, node, f"{i} {j}") for i, node in enumerate(self.nodes) for j in range(READERS)]
        threads += [self.guard(self.write, node, f"{i} {j}") for i, node in enumerate(self.nodes)
                    for j in range(WRITERS)]
        for thread in threads:
            thread.start()
        end = time.monotonic() + seconds
        try:
            names, at = [], 0
            while time.monotonic() < end:
                if at == len(names):  # each once, in an order by chance, then again
                    names, at = self.chance.sample(sorted(faults), len(faults)), 0
                self.pause(0.1, 1)
                faults[names[at]]()
                self.faults[names[at]] += 1
                at += 1
            for node in self.nodes:
                node.wait_coherent()
            time.sleep(2 * MAX_LAG)
        finally:
            self.ended.set()
            for thread in threads:
                thread.join(PATIENCE)
        self.check_end()

    def check_end(self):
        """All is well again: one word to all nodes, and each has the newest row."""
        def told():
            try:
                return self.nodes[0].ask("FB.INVALIDATE", "WAIT", "NODES", "ALL")
            except redis.ResponseError:
                return None
        self.wait_coherent()
        until(told, "a word that reached all nodes")
        for node in self.nodes:
            for row in range(ROWS):
                version = json.loads(node.ask("FB.FETCH", "item", "id", row))["version"]
                if version != self.versions[row]:
                    self.problems.append(f"at the end item {row} is {version}, not {self.versions[row]}")


# ---- the three

def over_one(stage, seed, seconds):
    server = stage.redis()
    links = [stage.proxy(server) for _ in range(3)]
    proof = Proof(stage, seed, links=links)

    def kill_redis():
        server.kill()
        proof.pause(0, 1)
        server.start()

    def hang():
        server.hang()
        proof.pause(0.1, 2.5)
        server.go_on()

    def cut(late):
        link = proof.chance.choice(links)
        link.cut()
        proof.pause(0.1, 3)
        if not late:
            link.reset()
        link.heal()

    def slow():
        link = proof.chance.choice(links)
        link.delay = 0.1
        proof.pause(0.5, 1.5)
        link.delay = 0
    proof.run(seconds, {
        "kill -9 Redis, back empty": kill_redis, "SIGSTOP": hang, "a slow link": slow,
        "a cut link, late packets": lambda: cut(True), "a cut link, reset": lambda: cut(False),
        "FLUSHALL": lambda: server.ask("FLUSHALL"), "SCRIPT FLUSH": lambda: server.ask("SCRIPT", "FLUSH"),
        "CLIENT KILL": lambda: kill_clients(server, proof), "kill -9 a node": proof.kill_node})
    return proof


def kill_clients(server, proof):
    for kind in proof.chance.choice((("pubsub",), ("normal",), ("pubsub", "normal"))):
        server.ask("CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes")


def with_loss(proof, fault, settled):
    """A fault that may lose what Redis has acknowledged, until all is settled again."""
    until(settled, "servers in step")
    proof.judge.loss_begins()
    fault()
    until(settled, "servers in step")
    proof.wait_coherent()
    time.sleep(MAX_LAG)
    proof.judge.loss_ends()


def is_in_step(master, replica):
    row = replica.client(socket_timeout=2).info("replication")
    if row.get("master_link_status") != "up" or row.get("master_port") != master.port:
        return False
    offset = master.client(socket_timeout=2).info("replication")["master_repl_offset"]
    return offset - row["slave_repl_offset"] < 100000 and not row["master_sync_in_progress"]


def over_sentinels(stage, seed, seconds):
    group = stage.sentinels()
    proof = Proof(stage, seed, url=group.url)

    def settled():
        master = group.master()
        others = [one for one in group.servers if one is not master]
        if not master or not is_in_step(master, others[0]):
            return False
        known = [one.client().sentinel_get_master_addr_by_name(group.service)[1] for one in group.sentinels]
        return known == [master.port] * 3

    def lose(begin, end):
        master = until(group.master, "a master")
        begin(master)
        until(lambda: (now := group.master()) and now is not master, "another master")
        end(master)

    def kill(master):
        master.kill()

    def fail_over():
        old = group.master()
        if group.fail_over():
            try:
                until(lambda: (now := group.master()) and now is not old, "another master", 20)
            except AssertionError:
                pass  # they gave it up, since one was too slow

    def restart():
        master = until(group.master, "a master")
        master.kill()
        master.start()
    proof.run(seconds, {
        "fail-over, asked for": lambda: with_loss(proof, fail_over, settled),
        "kill -9 the master": lambda: with_loss(proof, lambda: lose(kill, lambda one: one.start()), settled),
        "SIGSTOP the master": lambda: with_loss(
            proof, lambda: lose(lambda one: one.hang(), lambda one: one.go_on()), settled),
        "kill -9, back empty": lambda: with_loss(proof, restart, settled),
        "CLIENT KILL": lambda: kill_clients(group.master() or group.servers[0], proof),
        "kill -9 a node": proof.kill_node})
    return proof


def over_a_cluster(stage, seed, seconds):
    cluster = stage.cluster()
    proof = Proof(stage, seed, url=cluster.url)

    def settled():
        if len(cluster.nodes("master")) != 3 or len(cluster.nodes("slave")) != 3:
            return False
        for one in cluster.servers:
            client = one.client(socket_timeout=2)
            if client.cluster("INFO")["cluster_state"] != "ok":
                return False
            row = client.info("replication")
            if row["role"] == "slave" and row["master_link_status"] != "up":
                return False
        return True

    def master():
        return proof.chance.choice(until(lambda: cluster.nodes("master"), "masters"))[0]

    def lose(begin, end):
        one = master()
        begin(one)
        until(lambda: len(cluster.nodes("master")) == 3 and
              one not in [server for server, _ in cluster.nodes("master")], "another master")
        end(one)

    def restart():
        one = master()
        one.kill()
        one.start()

    def kill_links():
        for one in cluster.servers:
            kill_clients(one, proof)

    def reshard():
        until(settled, "servers in step")
        for _ in range(3):
            if cluster.reshard(proof.chance.randrange(50, 400)) == 0:
                return
    proof.run(seconds, {
        "fail-over, asked for": lambda: with_loss(proof, cluster.fail_over, settled),
        "kill -9 a master": lambda: with_loss(
            proof, lambda: lose(lambda one: one.kill(), lambda one: one.start()), settled),
        "SIGSTOP a master": lambda: with_loss(
            proof, lambda: lose(lambda one: one.hang(), lambda one: one.go_on()), settled),
        "kill -9, back empty": lambda: with_loss(proof, restart, settled),
        "reshard": reshard, "CLIENT KILL": kill_links, "kill -9 a node": proof.kill_node})
    return proof


SCENES = {"alone": over_one, "sentinel": over_sentinels, "cluster": over_a_cluster}


def show(name, proof, seconds):
    counts = proof.judge.counts
    print(f"{name}: {seconds:.0f} s, {counts['reads']} reads ({counts['coherent']} while coherent, "
          f"{counts['bound']} bound by a change), "
          f"{counts['changes']} changes ({counts['reached']} reached Redis), {sum(proof.faults.values())} faults, "
          f"{counts['slow']} reads over 1 s, STALE READS: {len(proof.judge.stale)}")
    for fault, times in sorted(proof.faults.items()):
        print(f"    {times:4} x {fault}")
    for one in proof.judge.stale[:20]:
        print("    stale:", one)
    for one in proof.problems[:20]:
        print("    problem:", one)
    sys.stdout.flush()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=24)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("--only", choices=sorted(SCENES))
    options = parser.parse_args()
    if not HAS_REDIS:
        print("skipped: no redis-server here")
        return 77
    print(f"seed {options.seed}", flush=True)
    names = [options.only] if options.only else list(SCENES)
    failed = False
    for name in names:
        with Stage() as stage:
            began = time.monotonic()
            proof = SCENES[name](stage, options.seed, options.seconds / len(names))
            show(name, proof, time.monotonic() - began)
            enough = proof.judge.counts["coherent"] > 100 and proof.judge.counts["reached"] > 20
            failed |= bool(proof.judge.stale) or bool(proof.problems) or not enough
            if proof.judge.stale:
                for node in proof.nodes:
                    print("\n".join(node.log.lines[-10:]), file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
