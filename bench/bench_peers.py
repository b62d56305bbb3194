#!/usr/bin/python3
"""The memory tier beside caches that live in a process of their own language: lru-cache (npm, in
Node.js) and Caffeine (Java). bench/peers/README.md says what a round is.

Prints CPU time a hit, and a read with room for half of the keys where a miss is followed by a put,
at 10 k and 1 M entries, by 1 and 2 threads; each beside ours in the same round.
"""

import pathlib
import subprocess

import support
from support import find, median, say, skip

ROUNDS = 3 if support.QUICK else 5
SIZES = (10000, 1000000)
CAFFEINE = pathlib.Path("/usr/share/java/caffeine.jar")
ASKED = ("hit 1", "mix 1", "hit 2", "mix 2")


class Peer(support.Process):
    def __init__(self, name, entries, words):
        super().__init__(*words, entries, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                         cwd=support.PEERS)
        self.name = name
        self.figures = {asked: [] for asked in ASKED}
        self.bytes_each = self.read()[1]

    def read(self):
        line = self.process.stdout.readline().split()
        if not line:
            raise RuntimeError(f"{self.name} ended by itself")
        return line

    def ask(self, asked):
        self.process.stdin.write(asked + "\n")
        self.process.stdin.flush()
        answer = self.read()
        if answer[0] != "-":
            self.figures[asked].append([float(word) for word in answer])

    def __exit__(self, *_):
        try:
            self.process.stdin.close()
            self.process.wait(10)
        except (subprocess.TimeoutExpired, OSError):
            pass
        super().__exit__()


def build_caffeine(folder):
    if not CAFFEINE.is_file():
        return skip("Caffeine", "libcaffeine-java is not installed")
    if find("javac") is None or find("java") is None:
        return skip("Caffeine", "no Java compiler")
    subprocess.run(["javac", "-cp", CAFFEINE, "-d", folder, support.PEERS / "CaffeinePeer.java"],
                   check=True)
    return ["java", "-cp", f"{folder}:{CAFFEINE}", "CaffeinePeer"]


def find_lru():
    if find("node") is None:
        return skip("lru-cache", "no Node.js")
    if not support.npm_has("lru-cache"):
        return skip("lru-cache", "it is not installed in bench/peers")
    return ["node", "--expose-gc", support.PEERS / "lru.mjs"]


def run_size(entries, commands):
    """One table: all peers live at once, and take turns round by round."""
    peers = []
    try:
        for name, words in commands:
            peers.append(Peer(name, entries, words))
        for peer in peers:  # until it is compiled where that happens at run time
            for asked in ASKED:
                peer.ask(asked)
                peer.figures[asked].clear()
        for _ in range(ROUNDS):
            for asked in ASKED:
                for peer in peers:
                    peer.ask(asked)
    finally:
        for peer in reversed(peers):
            peer.__exit__()
    show(entries, peers)


def show(entries, peers):
    ours = peers[0]
    rows = []
    for peer in peers:
        row = [peer.name]
        for asked in ASKED:
            figures = peer.figures[asked]
            if figures:
                ratio = median(one[0] / own[0] for one, own in zip(figures, ours.figures[asked]))
                row += [f"{median(one[0] for one in figures):.0f}", f"{ratio:.1f}x"]
            else:
                row += ["-", "-"]
        row += [f"{100 * median(one[2] for one in peer.figures['mix 1']):.1f}", peer.bytes_each]
        rows.append(row)
    say(f"\n{entries} entries")
    head = ["CPU ns an operation"]
    for asked in ASKED:
        work, threads = asked.split()
        head += [f"{work}, {threads} thread{'s' if threads != '1' else ''}", "of ours"]
    support.table([*head, "hits % in mix", "bytes an entry in mix"], rows)


def main():
    say(f"bench_peers: caches in a process, medians of {ROUNDS} interleaved rounds; {support.machine()}")
    say("keys of 16 to 32 bytes, values of 100 copied out, zipf 0.99; mix: room for half of the keys")
    with support.folder() as folder:
        commands = [("forebay", [support.PEER_STORE]), ("Caffeine", build_caffeine(folder)),
                    ("lru-cache", find_lru())]
        for entries in SIZES:
            run_size(entries, [one for one in commands if one[1]])


main()
