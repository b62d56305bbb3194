"""What the benchmarks of bench/ share: finding peers, starting and stopping servers, CPU times of
processes, medians and tables.

Everything is started in a temporary folder, listens on Unix sockets there, and is stopped by its own
process. The environment names what was built: PROGRAM (forebay), LOAD, PEER_STORE, LIMITS,
JOBS;
QUICK=1 makes the rounds few.
"""

import os
import pathlib
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
PEERS = ROOT / "bench/peers"
PROGRAM = os.environ.get("PROGRAM", str(ROOT / "build/forebay"))
LOAD = os.environ.get("LOAD", str(ROOT / "build/bench/load"))
PEER_STORE = os.environ.get("PEER_STORE", str(ROOT / "build/bench/peer_store"))
LIMITS = os.environ.get("LIMITS", str(ROOT / "build/bench/limits"))
JOBS = os.environ.get("JOBS", str(ROOT / "build/bench/jobs"))
QUICK = os.environ.get("QUICK", "") not in ("", "0")
PATIENCE = 60

median = statistics.median
# Ended from outside, a benchmark stops what it started all the same.
signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))


def folder():
    """A temporary folder; in memory where there is room, since a region is not to wait for a disk."""
    where = pathlib.Path("/dev/shm")
    free = os.statvfs(where) if where.is_dir() and os.access(where, os.W_OK) else None
    roomy = free is not None and free.f_bavail * free.f_frsize >= 1 << 30
    return tempfile.TemporaryDirectory(prefix="forebay-bench.", dir=where if roomy else None)


def say(text=""):
    print(text, flush=True)


def skip(what, why):
    say(f"skipped: {what}: {why} (tools/bootstrap bench installs what Debian and npm have)")


def find(program):
    """Where a program is, also in the folders where Debian keeps servers."""
    return shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin:/sbin")


def npm_has(package):
    return (PEERS / "node_modules" / package / "package.json").is_file()


def clean_environment():
    """The environment without what would configure one of them by accident."""
    return {name: value for name, value in os.environ.items()
            if not name.startswith(("FOREBAY_", "REDIS_", "MEMCACHED_", "NODE_OPTIONS", "JAVA_TOOL"))}


def cpu_ns(pid):
    """CPU time of a process's threads, those that have ended not counted."""
    total = 0
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        try:
            total += int((task / "schedstat").read_text().split()[0])
        except (FileNotFoundError, ProcessLookupError):
            pass
    return total


def rss_bytes(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0


class Process:
    """One process of ours, stopped at the end of a `with`."""

    def __init__(self, *words, environment=None, **options):
        self.process = subprocess.Popen([str(word) for word in words],
                                        env={**clean_environment(), **(environment or {})}, **options)
        self.pid = self.process.pid

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            if stream:
                stream.close()


class Server(Process):
    """A server on a Unix socket in `folder`; what it says goes to a file there."""

    def __init__(self, name, folder, *words):
        self.name = name
        self.socket = str(folder / f"{name}.sock")
        self.log = folder / f"{name}.log"
        with open(self.log, "wb") as log:
            super().__init__(*words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=folder)
        try:
            self.wait()
        except BaseException:
            self.__exit__()
            raise

    def wait(self):
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end and self.process.poll() is None:
            try:
                with socket.socket(socket.AF_UNIX) as one:
                    one.connect(self.socket)
                return
            except OSError:
                time.sleep(0.02)
        raise RuntimeError(f"{self.name} did not start: {self.log.read_text(errors='replace')[-500:]}")


def start_forebay(folder, memory="256MiB", region=False):
    """With `region`, its memory tier is in a file that clients read."""
    config = folder / "forebay.yaml"
    listen = ("resp: off, http: off, socket: forebay.sock" if region
              else f"resp: 'unix:{folder / 'forebay.sock'}', http: off")
    config.write_text(f"listen: {{{listen}}}\nmemory: {memory}\n" +
                      (f"region: {{file: '{folder / 'region'}'}}\n" if region else ""))
    return Server("forebay", folder, PROGRAM, "serve", "-c", config)


def start_redis(folder, memory="256mb"):
    program = find("redis-server")
    if program is None:
        return None
    return Server("redis", folder, program, "--port", "0", "--unixsocket", folder / "redis.sock",
                  "--save", "", "--appendonly", "no", "--maxmemory", memory,
                  "--maxmemory-policy", "allkeys-lru", "--dir", folder)


def start_memcached(folder, threads, megabytes=256):
    program = find("memcached")
    if program is None:
        return None
    words = [program, "-s", folder / "memcached.sock", "-m", megabytes, "-t", threads, "-c", "1024"]
    if os.geteuid() == 0:
        words += ["-u", "root"]
    return Server("memcached", folder, *words)


def table(head, rows):
    """Lines with columns aligned: the first to the left, the others to the right."""
    cells = [[str(cell) for cell in row] for row in [head, *rows]]
    widths = [max(len(row[i]) for row in cells) for i in range(len(head))]
    for row in cells:
        first, *others = row
        say("  ".join([first.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(others, widths[1:]))])
            .rstrip())


def machine():
    return f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}, {time.strftime('%Y-%m-%d %H:%M:%S')}"


def fail(text):
    print(text, file=sys.stderr)
    sys.exit(1)
