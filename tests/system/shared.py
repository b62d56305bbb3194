"""Several forebay nodes over one shared tier, for the system tests: real redis-servers (alone, three
Sentinels over a master and a replica, a Cluster of six), nodes, and a TCP proxy whose link can be cut.

A Stage owns one temporary folder and all that was started in it, and ends it by process id, whatever
became of the test. REDIS_SERVER in the environment names another server program, such as
valkey-server. What others do in their own time is waited for by `until`.
"""

import os
import pathlib
import random
import shutil
import signal
import socket
import sqlite3
import subprocess
import tempfile
import threading
import time

import redis

from forebay import PATIENCE, Server, clean_environment

REDIS_SERVER = os.environ.get("REDIS_SERVER", "redis-server")
REDIS_CLI = REDIS_SERVER.replace("-server", "-cli")
HAS_REDIS = shutil.which(REDIS_SERVER) is not None
# How long a node may lag before it says that it is degraded, in the tests.
MAX_LAG_MS = 2000

# `slow` takes some 0.4 s of a processor (more where that is shared) and writes nothing down; loads are
# counted by the nodes themselves.
CONFIG = """
loops: {loops}
workers: 4
redis:
  url: {url}
  namespace: {namespace}
  max_lag: {max_lag}ms
  hard_timeout: 300ms  # machines that run tests are busy
sources:
  shop: {{sqlite: {base}}}
classes:
  fruit:
    key: "fruit:{{name}}"
    normalise: [trim, casefold]
    source: shop
    query: "SELECT name, price, colour FROM fruit WHERE name = :name"
    one: true
    ttl: 1h
    memory_ttl: 1h
    tags: ["colour:{{colour}}"]
  list:
    key: "list:{{colour}}:{{count}}"
    source: shop
    query: "SELECT name, price FROM fruit WHERE colour = :colour ORDER BY name LIMIT :count"
    parameters: {{count: {{type: integer, default: 10}}}}
    ttl: 1h
    index: [colour]
    namespace: lists
  slow:
    key: "slow:{{rounds}}"
    source: shop
    query: >
      WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :rounds)
      SELECT count(*) AS rounds FROM n
    one: true
    parameters: {{rounds: {{type: integer, min: 1}}}}
    ttl: 1h
    hard_timeout: 1m
  counted: {{key: "counted:{{id}}", ttl: 1h}}
  first: {{key: "first:{{id}}", ttl: 1h, order: shared-first}}
  bypass: {{key: "bypass:{{id}}", ttl: 1h, degraded: bypass}}
  capped: {{key: "capped:{{id}}", ttl: 1h, degraded: cap_ttl, degraded_ttl: 500ms}}
  plain: {{key: "plain:{{id}}", ttl: 1h, layout: plain}}
{more}
"""


def at_once(works):
    """Runs them all at the same time: what they returned."""
    results = [None] * len(works)
    gate = threading.Barrier(len(works))

    def run(index):
        gate.wait()
        try:
            results[index] = works[index]()
        except BaseException as error:  # pylint: disable=broad-except
            results[index] = error

    threads = [threading.Thread(target=run, args=(index,)) for index in range(len(works))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return results


def until(found, what="it", patience=PATIENCE):
    """Waits until found() is true and returns what it gave; connections that fail count as not yet."""
    end = time.monotonic() + patience
    while True:
        is_last = time.monotonic() > end
        try:
            value = found()
        except (OSError, redis.RedisError) as error:
            value, what_failed = None, error
        else:
            what_failed = value
        if value:
            return value
        if is_last:
            raise AssertionError(f"waited {patience} s for {what}: {what_failed!r}")
        time.sleep(0.005)


held_ports = []


def hold_port(port):
    """Keeps a port from other tests for as long as this one runs, also while nobody listens there. OSError:
    another one has it."""
    name = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)  # as support/redis_server.h does
    try:
        name.bind(f"\0forebay-test-port-{port}")
    except OSError:
        name.close()
        raise
    held_ports.append(name)


def free_port():
    """A loopback port below those of outgoing connections, so that a killed server finds it again."""
    for _ in range(1000):
        port = random.SystemRandom().randrange(11000, 22000)
        try:
            for one in (port, port + 10000):  # a Cluster node's bus
                hold_port(one)
                with socket.socket() as probe:
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    probe.bind(("127.0.0.1", one))
            return port
        except OSError:
            pass
    raise RuntimeError("no free port")


class Redis:
    """One redis-server (or a Sentinel), alive or not; its folder outlives it."""

    def __init__(self, folder, lines="", password=None, tls=False, sentinel=False, port=None):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="redis.", dir=folder))
        self.port = port or free_port()
        self.password = password
        self.sentinel = sentinel
        self.path = self.folder / "redis.sock"
        self.file = self.folder / "redis.conf"
        self.process = None
        text = f"port {self.port}\nbind 127.0.0.1\ndir {self.folder}\nprotected-mode no\n"
        if not sentinel:
            text += f"save \"\"\nunixsocket {self.path}\nrepl-diskless-sync-delay 0\n" \
                    "repl-ping-replica-period 1\nenable-debug-command yes\n"
        if password:
            text += f"requirepass {password}\nmasterauth {password}\n"
        if tls:
            text += self.certify()
        self.file.write_text(text + lines)

    def certify(self):
        """A certificate that is its own authority, and the lines for it."""
        self.cert, self.key, self.tls_port = self.folder / "cert.pem", self.folder / "key.pem", free_port()
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                        "-nodes", "-days", "3650", "-subj", "/CN=localhost", "-addext",
                        "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", self.key, "-out", self.cert],
                       check=True, capture_output=True)
        return f"tls-port {self.tls_port}\ntls-cert-file {self.cert}\ntls-key-file {self.key}\n" \
               f"tls-ca-cert-file {self.cert}\ntls-auth-clients no\n"

    @property
    def url(self):
        user = f":{self.password}@" if self.password else ""
        return f"redis://{user}127.0.0.1:{self.port}"

    def start(self):
        """Again as well: on the same port, with what its folder holds."""
        words = [REDIS_SERVER, self.file, *(["--sentinel"] if self.sentinel else [])]
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            cwd=self.folder, env=clean_environment())
        until(self.ping, f"redis-server at {self.port}")
        return self

    def ping(self):
        if self.process.poll() is not None:
            log = (self.folder / "log").read_text()
            raise RuntimeError(f"redis-server at {self.port} ended:\n{log[-2000:]}")
        with self.client() as client:
            return client.ping()

    def client(self, **options):
        return redis.Redis(port=self.port, password=self.password, **{"decode_responses": True, **options})

    def ask(self, *words):
        with self.client() as client:
            return client.execute_command(*words)

    def kill(self):
        """As kill -9 does."""
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait(PATIENCE)

    def hang(self):
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self):
        self.process.send_signal(signal.SIGCONT)

    def commands(self):
        """How often each command was called, by name; without those of scripts."""
        with self.client() as client:
            stats = client.info("commandstats")
        return {name.removeprefix("cmdstat_"): row["calls"] for name, row in stats.items()}


class Sentinels:
    """A master, a replica, and three Sentinels that watch them."""

    def __init__(self, stage, service="shop", down_ms=500):
        self.service = service
        self.servers = [stage.redis(), stage.redis()]
        self.servers[1].ask("REPLICAOF", "127.0.0.1", self.servers[0].port)
        until(lambda: self.servers[1].client().info("replication")["master_link_status"] == "up", "a replica")
        lines = f"sentinel monitor {service} 127.0.0.1 {self.servers[0].port} 2\n" \
                f"sentinel down-after-milliseconds {service} {down_ms}\n" \
                f"sentinel failover-timeout {service} 3000\n"
        self.sentinels = [stage.redis(lines=lines, sentinel=True) for _ in range(3)]
        for one in self.sentinels:
            until(lambda one=one: self.knows(one), "Sentinels that know each other")

    def knows(self, sentinel):
        flat = sentinel.ask("SENTINEL", "MASTER", self.service)
        row = flat if isinstance(flat, dict) else dict(zip(flat[::2], flat[1::2]))
        return int(row["num-other-sentinels"]) == 2 and int(row["num-slaves"]) == 1

    @property
    def url(self):
        hosts = ",".join(f"127.0.0.1:{one.port}" for one in self.sentinels)
        return f"redis+sentinel://{hosts}/{self.service}"

    def master(self):
        """The server that answers as the master, or None."""
        for server in self.servers:
            try:
                if server.process.poll() is None and server.client(socket_timeout=1).role()[0] == "master":
                    return server
            except redis.RedisError:
                pass
        return None

    def fail_over(self):
        """Asks for one; whether the Sentinels took it on."""
        try:
            self.sentinels[0].ask("SENTINEL", "FAILOVER", self.service)
            return True
        except redis.RedisError:
            return False

    def replace(self, master):
        """A fail-over by consent, until another is master. One of them that is too slow makes Sentinels give
        it up: then it is asked for again."""
        def told():
            return self.sentinels[0].client().sentinel_get_master_addr_by_name(self.service)[1] != master.port
        for _ in range(5):
            until(lambda: told() or self.fail_over(), "a fail-over that is begun")
            try:
                until(told, "a fail-over", 20)
                break
            except AssertionError:
                pass
        until(lambda: self.master() not in (None, master), "a new master")


class Cluster:
    """Three masters with a replica each."""

    def __init__(self, stage, timeout_ms=1500):
        lines = f"cluster-enabled yes\ncluster-node-timeout {timeout_ms}\ncluster-require-full-coverage no\n" \
                "cluster-replica-validity-factor 0\n"
        self.servers = [stage.redis(lines=lines) for _ in range(6)]
        words = [REDIS_CLI, "--cluster", "create", *(f"127.0.0.1:{one.port}" for one in self.servers),
                 "--cluster-replicas", "1", "--cluster-yes"]
        subprocess.run(words, check=True, capture_output=True, timeout=PATIENCE)
        for one in self.servers:
            until(lambda one=one: one.client().cluster("INFO")["cluster_state"] == "ok", "a cluster that is ok")
        until(lambda: len(self.nodes("slave")) == 3, "replicas of all three")

    @property
    def url(self):
        return "redis+cluster://" + ",".join(f"127.0.0.1:{one.port}" for one in self.servers)

    def nodes(self, role):
        """The servers that have this role by the word of one that lives: [(server, id)]."""
        for asked in self.servers:
            try:
                lines = asked.client(socket_timeout=1).execute_command("CLUSTER NODES")
            except redis.RedisError:
                continue
            rows = lines.items() if isinstance(lines, dict) else []
            return [(server, row["node_id"]) for address, row in rows
                    for server in self.servers
                    if address.endswith(f":{server.port}") and role in row["flags"] and "fail" not in row["flags"]]
        return []

    def fail_over(self):
        """A replica takes its master's place, by consent; whether it said yes."""
        replicas = self.nodes("slave")
        try:
            replicas[0][0].client(socket_timeout=1).execute_command("CLUSTER FAILOVER")
            return True
        except (redis.RedisError, IndexError):
            return False

    def reshard(self, slots):
        """Moves so many slots from one master to another, while all goes on; its exit status."""
        masters = until(lambda: len(now := self.nodes("master")) > 1 and now, "masters")
        source, target = random.sample(masters, 2)
        words = [REDIS_CLI, "--cluster", "reshard", f"127.0.0.1:{source[0].port}", "--cluster-from", source[1],
                 "--cluster-to", target[1], "--cluster-slots", str(slots), "--cluster-yes"]
        return subprocess.run(words, capture_output=True, check=False, timeout=PATIENCE).returncode


class Proxy:
    """A TCP link that can be cut. A cut holds back what is under way, as a network does that drops
    packets: healed, it arrives late. `delay` is what each chunk takes longer."""

    def __init__(self, port):
        self.target = port
        self.delay = 0
        self.whole = threading.Event()
        self.whole.set()
        self.closed = False
        self.sockets = set()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    @property
    def url(self):
        return f"redis://127.0.0.1:{self.port}"

    def accept(self):
        while not self.closed:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.join, args=(near,), daemon=True).start()

    def join(self, near):
        self.whole.wait()
        try:
            far = socket.create_connection(("127.0.0.1", self.target), 5)
            far.settimeout(None)
        except OSError:
            near.close()
            return
        for one in (near, far):
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sockets |= {near, far}
        threading.Thread(target=self.pump, args=(near, far), daemon=True).start()
        self.pump(far, near)

    def pump(self, source, sink):
        try:
            while True:
                data = source.recv(65536)
                if not data:
                    break
                if self.delay:
                    time.sleep(self.delay)
                self.whole.wait()
                sink.sendall(data)
        except OSError:
            pass
        for one in (source, sink):
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            one.close()
            self.sockets.discard(one)

    def cut(self):
        self.whole.clear()

    def heal(self):
        self.whole.set()

    def reset(self):
        """Breaks all connections that there are."""
        for one in list(self.sockets):
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def close(self):
        self.closed = True
        self.listener.close()
        self.reset()
        self.whole.set()


class Namespace:
    """A network namespace with two links to here: one for clients, one for Redis, which can be cut as a
    cable is. Only for root, and where the kernel allows it: see `possible`."""

    IP = shutil.which("ip", path="/sbin:/usr/sbin:/bin:/usr/bin")

    def __init__(self):
        self.name = f"fb{os.getpid()}x{random.SystemRandom().randrange(1000)}"
        self.net = random.SystemRandom().randrange(1, 250)
        self.links = {}
        self.run("netns", "add", self.name)
        try:
            self.run("-n", self.name, "link", "set", "lo", "up")
            self.join("clients", 1)
            self.join("redis", 2)
        except BaseException:
            self.close()
            raise

    def run(self, *words):
        subprocess.run([self.IP, *words], check=True, capture_output=True)

    def join(self, what, number):
        near, far = f"{self.name[:11]}h{number}", f"{self.name[:11]}n{number}"
        self.links[what] = near
        self.run("link", "add", near, "type", "veth", "peer", "name", far, "netns", self.name)
        self.run("addr", "add", f"10.213.{self.net}.{4 * number + 1}/30", "dev", near)
        self.run("link", "set", near, "up")
        self.run("-n", self.name, "addr", "add", f"10.213.{self.net}.{4 * number + 2}/30", "dev", far)
        self.run("-n", self.name, "link", "set", far, "up")

    @property
    def here(self):
        """Where a Redis has to listen to be reached from inside."""
        return f"10.213.{self.net}.9"

    @property
    def inside(self):
        """Where clients reach what listens inside."""
        return f"10.213.{self.net}.6"

    def cut(self):
        self.run("link", "set", self.links["redis"], "down")

    def heal(self):
        self.run("link", "set", self.links["redis"], "up")

    def close(self):
        self.run("netns", "del", self.name)

    @classmethod
    def possible(cls):
        if cls.IP is None or os.geteuid() != 0:
            return False
        try:
            cls().close()
            return True
        except (OSError, subprocess.CalledProcessError):
            return False


class Node(Server):
    """A forebay of several."""

    space = None  # the Namespace that it runs in

    def redis(self, **options):
        return super().redis(**({"host": self.space.inside} if self.space else {}), **options)

    def shared(self):
        with self.redis() as client:
            flat = client.execute_command("FB.SHARED")
        return dict(zip(flat[::2], flat[1::2]))

    def is_coherent(self):
        shared = self.shared()
        return shared["state"] == "connected" and shared["degraded"] == 0

    def until(self, found, what, patience=PATIENCE):
        """As until(), of this node: where that fails it is told what the node said, and a node that has
        ended is waited for no longer."""
        def found_or_ended():
            return found() if self.process.poll() is None else self
        try:
            value = until(found_or_ended, what, patience)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.last_words()}") from None
        if value is self:
            self.log.thread.join(PATIENCE)
            raise AssertionError(f"waited for {what}, and the node ended\n{self.last_words()}")
        return value

    def last_words(self, count=200):
        """Whether it lives, how it stands, and the end of its log, where a sanitizer reports, too."""
        status = self.process.poll()
        try:
            stands = f"ended with status {status}" if status is not None else f"lives; {self.shared()}"
        except (OSError, redis.RedisError) as error:
            stands = f"lives, and does not answer: {error}"
        return stands + "\n" + "\n".join(self.log.lines[-count:])

    def wait_coherent(self, patience=PATIENCE):
        self.until(self.is_coherent, "a coherent node", patience)
        return self

    def wait_away(self):
        return self.until(lambda: self.shared()["state"] == "away" and self.shared(), "a node that knows")

    def ask(self, *words, **options):
        with self.redis(**options) as client:
            return client.execute_command(*words)

    def fetch(self, name, class_name="fruit", parameter="name"):
        return self.ask("FB.FETCH", class_name, parameter, name)

    def kill(self):
        self.process.kill()
        self.process.wait(PATIENCE)


class Stage:
    """Where a test's servers run. Leaving it ends them all; nodes have to end with status 0."""

    def __enter__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="forebay-shared."))
        self.base = self.folder / "shop.db"
        self.servers, self.forebays, self.proxies = [], [], []
        with sqlite3.connect(self.base) as base:
            base.executescript("""
                PRAGMA journal_mode = WAL;
                CREATE TABLE fruit (name TEXT PRIMARY KEY, price REAL, colour TEXT);
                INSERT INTO fruit VALUES ('apple', 1.5, 'red'), ('cherry', 7.0, 'red'),
                    ('plum', 2.25, 'blue'), ('lemon', 0.5, 'yellow'), ('pear', 3, NULL);
            """)
        base.close()
        return self

    def __exit__(self, kind, error=None, _trace=None):
        problems = []
        for node in self.forebays if error is not None else []:
            if node.process and node.process.poll() not in (None, 0, -signal.SIGKILL):
                error.add_note(f"a node {node.last_words()}")  # which may be why
        try:
            for node in self.forebays:
                if node.process and node.process.poll() is None and kind is None:
                    status = node.stop()
                    if status:
                        problems.append(f"ended with {status}:\n" + "\n".join(node.log.lines[-50:]))
        finally:
            for node in self.forebays:
                node.remove()
            for proxy in self.proxies:
                proxy.close()
            for server in self.servers:
                server.kill()
            shutil.rmtree(self.folder, ignore_errors=True)
        if problems:
            raise AssertionError("\n".join(problems))

    def redis(self, **options):
        server = Redis(self.folder, **options)
        self.servers.append(server)
        return server.start()

    def sentinels(self, **options):
        return Sentinels(self, **options)

    def cluster(self, **options):
        return Cluster(self, **options)

    def proxy(self, server):
        proxy = Proxy(server.port)
        self.proxies.append(proxy)
        return proxy

    def node(self, url, namespace="shop", env=None, arguments=(), more="", loops=None, max_lag=MAX_LAG_MS,
             wait=True, space=None):
        """A node over `url`; with `wait` it is in step with the others when this returns."""
        loops = int(os.environ.get("LOOPS", "0")) if loops is None else loops
        folder = pathlib.Path(tempfile.mkdtemp(prefix="node.", dir=self.folder))
        config = CONFIG.format(url=f"'{url}'", namespace=namespace, base=self.base, loops=loops, more=more,
                               max_lag=max_lag)
        if space:
            arguments = ("--set", f"listen.resp={space.inside}:0", "--set", "listen.http=off", "--insecure", *arguments)
        node = Node(config, env, arguments, folder)
        if space:
            node.space = space
            node.command = [space.IP, "netns", "exec", space.name, *node.command]
        self.forebays.append(node)
        node.start()
        return node.wait_coherent() if wait else node

    def nodes(self, url, count=3, **options):
        return [self.node(url, **options) for _ in range(count)]

    def write(self, statement, *values):
        """Changes the source."""
        with sqlite3.connect(self.base, timeout=PATIENCE) as base:
            base.execute(statement, values)
        base.close()
