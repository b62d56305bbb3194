#!/usr/bin/python3
"""What a good client feels while strangers do their worst at both doors.

tests/system/flood.c makes RATE connects a second, with random bytes, half requests and broken ones among
them, and holds a crowd of slow senders, slow readers, claims of half a gigabyte and silent ones.
`forebay bench load` is the good client: so many requests a second whatever the answers, each measured from
when it was due. First it runs alone, then through the flood. The goal is a p99 under 10 ms in the flood, on
a machine with nothing else to do; how busy it was is printed beside.
"""

import json
import os
import pathlib
import subprocess
import time

import support
from support import Server, say

FLOOD = os.environ.get("FLOOD", str(support.ROOT / "build/tests/system/flood"))
SECONDS = 5 if support.QUICK else 15
CONNECT_RATE, CROWD, RATE = 10000, 300, 2000
GOAL_MS = 10


class Tcp(Server):
    """forebay with both doors on ports that the kernel chose."""

    def wait(self):
        end = time.monotonic() + support.PATIENCE
        while time.monotonic() < end and self.process.poll() is None:
            for line in self.log.read_text(errors="replace").splitlines():
                if line.startswith("{") and json.loads(line).get("event") == "ready":
                    ready = json.loads(line)
                    self.ports = [ready[door].rsplit(":", 1)[1] for door in ("resp", "http")]
                    return
            time.sleep(0.02)
        raise RuntimeError(f"{self.name} did not start: {self.log.read_text(errors='replace')[-500:]}")


def good(server):
    words = (support.PROGRAM, "bench", "load", "--url", f"127.0.0.1:{server.ports[0]}", "--rate", RATE,
             "--connections", 10, "--keys", 10000, "--fill", "--duration", f"{SECONDS}s", "--json")
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, check=True,
                          env=support.clean_environment(), timeout=support.PATIENCE + SECONDS)
    return json.loads(done.stdout)


def row(name, figures, cpu):
    latency = figures["latency"]
    columns = ("p50_ms", "p99_ms", "p999_ms", "max_ms")
    return [name, f"{figures['rate']:.0f}", *(f"{latency[column]:.3f}" for column in columns),
            figures["refused"] + figures["unanswered"] + figures["unsent"], f"{cpu:.0f}"]


def measure(server, name):
    before, begun = support.cpu_ns(server.pid), time.monotonic_ns()
    figures = good(server)
    cpu = 100 * (support.cpu_ns(server.pid) - before) / (time.monotonic_ns() - begun)
    return figures, row(name, figures, cpu)


def main():
    say(f"bench_flood: {RATE} requests/s of a good client, {SECONDS} s each; {support.machine()}")
    with support.folder() as path:
        folder = pathlib.Path(path)
        config = folder / "forebay.yaml"
        config.write_text("listen: {resp: '127.0.0.1:0', http: '127.0.0.1:0'}\nmemory: 256MiB\nlog: {format: json}\n")
        with Tcp("forebay", folder, support.PROGRAM, "serve", "-c", config) as server:
            _, alone = measure(server, "alone")
            connects = CONNECT_RATE * (SECONDS + 2)
            begun = time.monotonic()
            flood = subprocess.Popen([FLOOD, *server.ports, str(connects), str(CONNECT_RATE), str(CROWD), "1"],
                                     stdout=subprocess.PIPE, text=True)
            try:
                figures, flooded = measure(server, "flooded")
                out, _ = flood.communicate(timeout=support.PATIENCE)
            finally:
                if flood.poll() is None:
                    flood.kill()
                    flood.wait()
            elapsed = time.monotonic() - begun
            support.table(["", "requests/s", "p50 ms", "p99 ms", "p99.9 ms", "max ms", "failed", "server CPU %"],
                          [alone, flooded])
            made, held, refused, sent, heard = map(int, out.split())
            say(f"\nthe flood: {made / elapsed:.0f} connects a second ({refused} failed), {held} held for a while, "
                f"{sent / 1e6:.0f} MB said, {heard / 1e6:.0f} MB heard")
            p99 = figures["latency"]["p99_ms"]
            say(f"p99 in the flood {p99:.2f} ms, goal under {GOAL_MS}: {'met' if p99 < GOAL_MS else 'MISSED'}")
            if figures["generator"]["caution"]:
                say(f"caution: {figures['generator']['caution']}")


main()
