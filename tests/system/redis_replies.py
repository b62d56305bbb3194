#!/usr/bin/python3
"""redis_replies.py [--seed N] [--rounds N] (--at HOST:PORT | PROGRAM): the same commands to forebay
and to a real redis-server, and the same replies expected, byte for byte, in RESP2 and RESP3.

Redis is the oracle. First a list of commands with every kind of mistake in it, then random ones over
a few keys. What differs on purpose is listed in DIFFERENT, with the reason. Exits with 77 (skipped)
where there is no redis-server.
"""

import argparse
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time

# Commands whose replies say who answers, or what forebay does not do.
DIFFERENT = {
    "object idletime",  # not kept
    "watch k",  # refused: docs/commands.md says why
}

LISTED = """
ping
ping hello
ping a b
PiNg
echo
echo x
echo x y
quitt
nosuch a b c
nosuch
"" a
get
get k
get k x
set
set k
set k v
get k
type k
type nothing
set k v nx
set k v xx
set k2 v xx
set k2 v nx
get k2
set k w get
set k3 w get
set k w nx get
set k w xx get
set k v foo
set k v ex
set k v ex 0
set k v ex -1
set k v ex x
set k v ex 10 nx xx
set k v nx xx
set k v xx nx
set k v ex 1 px 1
set k v keepttl ex 1
set k v ex 1 keepttl
set k v keepttl keepttl
set k v nx nx
set k v get get
set k v ex 9223372036854775807
set k v px 9223372036854775807
set k v exat 1
get k
set k v pxat 1
set k v ex 100
ttl k
set k w keepttl
ttl k
set k w
ttl k
setex k 10 v
ttl k
setex k 0 v
setex k -1 v
setex k x v
setex k 10
psetex k 10000 v
psetex k 0 v
setnx k v
setnx n1 v
getset k z
getset new z
getset k
getdel k
getdel k
getex k
set k v
getex k ex 100
ttl k
getex k persist
ttl k
getex k ex
getex k foo
getex k ex 0
getex k ex x
getex k persist ex 1
getex k exat 1
get k
mget
mget a b c
mset a 1 b 2 c 3
mget a b c nothing
mset a
mset a 1 b
msetnx a 1 z 2
msetnx m1 1 m2 2
msetnx m3 1 m3 2
get m3
msetnx m4 1 m5
mget m1 m2
append k x
append k x
append
strlen k
strlen nothing
getrange k 0 0
getrange k 0 -1
getrange k -1 0
getrange k -1 -5
getrange k 5 10
getrange k -100 100
getrange k x 1
getrange k 1 x
getrange k 1
getrange nothing 0 -1
substr k 0 0
setrange k 0 abc
setrange k 5 abc
get k
setrange s 3 x
get s
setrange s -1 x
setrange s x x
setrange s 536870911 xy
setrange s 536870912 x
setrange s 9223372036854775807 x
setrange s 0 ""
setrange nothing 0 ""
exists nothing
incr n
incr n
decr n
decr q
incrby n 10
incrby n x
incrby n 1.5
incrby n 9223372036854775808
incrby n 9223372036854775807
decrby n 3
decrby n -9223372036854775808
set big 9223372036854775807
incr big
set small -9223372036854775808
decr small
set w " 1"
incr w
set w 01
incr w
set w +1
incr w
set w -0
incr w
set w ""
incr w
set t abc
incr t
incrbyfloat f 10.5
incrbyfloat f 0.1
incrbyfloat f -5
incrbyfloat f 5.0e3
incrbyfloat f x
incrbyfloat f inf
incrbyfloat f nan
incrbyfloat f " 1"
incrbyfloat f "1 "
incrbyfloat f ""
incrbyfloat f 1e400
incrbyfloat t 1
set f2 0.1
incrbyfloat f2 0.2
incrbyfloat f2 1e-17
incrbyfloat f2 1e20
incrbyfloat f3 -0.0
incrbyfloat f4 3
incrbyfloat f4 -3
incrbyfloat f5 1e300
incr f
del
del a b nothing
unlink c c
exists a
exists k k nothing
touch k nothing
touch
expire k 100
ttl k
pttl nothing
ttl nothing
expiretime nothing
pexpiretime nothing
expire nothing 100
expire k x
expire k 100 nx
expire k 100 xx
expire k 50 gt
expire k 200 gt
expire k 300 lt
expire k 100 lt
persist k
persist k
persist nothing
expire k 100 gt
expire k 100 xx
expire k 100 lt
expire k 10 nx xx
expire k 10 nx gt
expire k 10 gt lt
expire k 10 xx gt
expire k 10 foo
expire k 9223372036854775807
expire k -9223372036854775808
expire k
pexpire k 100000
ttl k
expireat k 4102444800
expiretime k
expireat k 99999999999999999
pexpireat k 4102444800999
expiretime k
expire k -1
exists k
set k v
expire k 0
exists k
set k v
pexpireat k 1
exists k
keys nothing*
keys
keys a b
scan
scan x
scan 0 count 0
scan 0 count -1
scan 0 count x
scan 0 foo
scan 0 match
scan 0 match zz* count 100000
scan 0 type foo
scan 99999999999999999999999
randomkeyy
object encoding
object encoding nothing
set o 123
object encoding o
set o 0123
object encoding o
set o -9223372036854775808
object encoding o
set o 12345678901234567890
object encoding o
set o xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx
object encoding o
set o xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx
object encoding o
object freq o
object freq nothing
object refcount o
object idletime nothing
object foo o
object
select 0
select x
select 99999
select
select 1 2
auth
auth x
auth default x
auth nobody x
auth a b c
hello 1
hello 4
hello x
hello 3 foo
hello 3 setname
hello 3 auth x
hello 3 auth nobody x
hello 3 setname "a b"
client
client foo
client getname
client setname x
client getname
client setname "a b"
client setname ""
client getname
client setname
client id x
client list foo
client list type foo
client list type master
client list id
client list id x
client list id 0
client list id -1
client list id 999999
client no-evict x
client no-evict on
client no-evict off
client reply x
client info x
config
config get
config get nothing-of-that-name
config get save
config get appendonly
config get SAVE
config set
config set save
config set nosuch 1
config resetstat
config resetstat x
config foo
command foo
command getkeys
command getkeys get
command getkeys get a
command getkeys mget a b c
command getkeys mset a 1 b 2
command getkeys ping x
command getkeys nosuch x
command getkeys get a b
command getkeys set a b ex 1
command getkeys object encoding x
command list foo
command list filterby foo x
command list filterby module x
command list filterby pattern strlen
command list filterby pattern nosuch
command info nosuch
command docs nosuch
memory
memory foo
memory usage
memory usage nothing
memory usage k samples
memory usage k samples x
memory usage k samples -1
memory usage k foo 1
time x
dbsize x
flushall foo
flushdb foo
flushall a b
flushall async
dbsize
set a 1
randomkey
randomkey x
flushdb sync
get a
randomkey
multi
multi
set k 1
incr k
get k
set t x
incr t
mget k t none
scan 0 foo
config get save
select 0
randomkeyy
exec
multi
set k 1
incr k
get k
set t x
incr t
mget k t none
scan 0 foo
config get save
client getname
command count x
exec
exec
exec x
multi
get k
exec x
exec
discard
multi
discard
discard x
multi
discard x
exec
multi
exec
multi
watch k
exec
multi
watch
exec
watch k
watch
unwatch
unwatch x
multi
unwatch
get k
exec
multi x
multi
client nosuch
exec
multi
client
exec
multi
incr k
reset
exec
hello 9
multi
ping
hello 9
ping
exec
command getkeys watch a b
flushall
info nothing-of-that-name
reset x
client reply skip
get nothing
get nothing
"""


class Peer:
    """One connection; replies as (type, value), so that '+OK' is not '$2 OK'."""

    def __init__(self, address):
        self.socket = socket.create_connection(address) if isinstance(address, tuple) else None
        if self.socket is None:
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.connect(address)
        self.socket.settimeout(10)
        self.file = self.socket.makefile("rb")

    def send(self, args):
        parts = [b"*%d\r\n" % len(args)]
        parts += [b"$%d\r\n%s\r\n" % (len(arg), arg) for arg in args]
        self.socket.sendall(b"".join(parts))

    def ask(self, *args):
        self.send([arg.encode("latin-1") if isinstance(arg, str) else arg for arg in args])
        return self.read()

    def read(self):
        line = self.file.readline()
        if not line.endswith(b"\r\n"):
            raise EOFError("the connection was closed")
        mark, rest = line[:1].decode(), line[1:-2]
        if mark in "$=":
            if rest == b"-1":
                return ("$", None)
            return (mark, self.file.read(int(rest) + 2)[:-2])
        if mark in "*~>":
            if rest == b"-1":
                return ("*", None)
            return (mark, [self.read() for _ in range(int(rest))])
        if mark == "%":
            return (mark, [(self.read(), self.read()) for _ in range(int(rest))])
        return (mark, rest)


def split(line):
    """Words, and "quoted ones"."""
    args, rest = [], line.strip()
    while rest:
        if rest[0] == '"':
            word, rest = rest[1:].split('"', 1)
        else:
            word, _, rest = rest.partition(" ")
        args.append(word)
        rest = rest.lstrip()
    return args


def commands_of_redis_as_here(forebay, redis, out):
    """What COMMAND INFO says of each command both know: name, arity, flags, keys, categories."""
    wrong = 0
    names = [name[1].decode() for name in forebay.ask("COMMAND", "LIST")[1]]
    for name in sorted(names):
        ours = forebay.ask("COMMAND", "INFO", name)[1][0][1]
        theirs = redis.ask("COMMAND", "INFO", name)[1][0][1]
        if not theirs:
            if not name.startswith("fb."):
                out(f"COMMAND INFO {name}: redis has no such command")
                wrong += 1
            continue
        for ours_one, theirs_one in [(ours, theirs)] + pair_subs(ours[9][1], theirs[9][1]):
            if ours_one[:7] != theirs_one[:7]:
                out(f"COMMAND INFO {name}:\n  forebay {ours_one[:7]}\n  redis   {theirs_one[:7]}")
                wrong += 1
    return wrong


def pair_subs(ours, theirs):
    known = {sub[1][0]: sub[1] for sub in theirs}
    return [(sub[1], known[sub[1][0]]) for sub in ours if sub[1][0] in known]


KEYS = ["a", "b", "c", "num", "text", "bin"]
VALUES = ["", "0", "1", "-1", "12", "9223372036854775807", "1.5", "abc", "\x00\xff\r\n", "x" * 300]
NUMBERS = ["0", "1", "-1", "5", "-3", "100", "9223372036854775807", "x", "1.5", ""]

LIVES_S = ["0", "-1", "100000", "9223372036854775807", "x", "1.5", ""]  # none runs out in a test


def random_command(rng):
    key = lambda: rng.choice(KEYS)
    value = lambda: rng.choice(VALUES)
    number = lambda: rng.choice(NUMBERS)
    life_s = lambda: rng.choice(LIVES_S)
    expiry = lambda: rng.choice([["EX", "100"], ["PX", "100000"], ["EXAT", "4102444800"],
                                 ["PXAT", "4102444800123"], ["KEEPTTL"], ["EX", life_s()], []])
    condition = lambda: rng.choice([["NX"], ["XX"], ["GT"], ["LT"], ["XX", "GT"], ["NX", "XX"], []])
    forms = [
        lambda: ["GET", key()],
        lambda: ["SET", key(), value()],
        lambda: ["SET", key(), value()] + expiry() + rng.choice([["NX"], ["XX"], ["GET"], []]),
        lambda: ["SET", key(), value()] + rng.choice([["GET"], []]) + condition() + expiry(),
        lambda: ["SETEX", key(), life_s(), value()],
        lambda: ["SETNX", key(), value()],
        lambda: ["GETSET", key(), value()],
        lambda: ["GETDEL", key()],
        lambda: ["GETEX", key()] + rng.choice([["PERSIST"], ["EX", "50"], ["EX", life_s()], []]),
        lambda: ["MGET"] + [key() for _ in range(rng.randint(0, 4))],
        lambda: ["MSET"] + [word() for word in [key, value] * rng.randint(0, 3)],
        lambda: ["MSETNX"] + [word() for word in [key, value] * rng.randint(0, 2)],
        lambda: ["APPEND", key(), value()],
        lambda: ["STRLEN", key()],
        lambda: ["GETRANGE", key(), number(), number()],
        lambda: ["SETRANGE", key(), rng.choice(["0", "1", "5", "-1", "x"]), value()],
        lambda: [rng.choice(["INCR", "DECR"]), key()],
        lambda: [rng.choice(["INCRBY", "DECRBY", "INCRBYFLOAT"]), key(), number()],
        lambda: [rng.choice(["DEL", "UNLINK", "EXISTS", "TOUCH"]), key(), key()],
        lambda: [rng.choice(["EXPIRE", "PEXPIRE"]), key(), rng.choice(["100000", "-5", life_s()])]
        + rng.choice([["NX"], ["XX"], []]),
        lambda: ["EXPIREAT", key(), rng.choice(["4102444800", "4000000000", "1"])] + condition(),
        lambda: ["PEXPIREAT", key(), "41024448%05d" % rng.randint(0, 99999)] + condition(),
        lambda: [rng.choice(["TTL", "PERSIST", "TYPE", "PEXPIRETIME"]), key()],
        lambda: ["DBSIZE"],
        lambda: rng.choice([["MULTI"], ["EXEC"], ["EXEC"], ["DISCARD"]]),
        lambda: ["KEYS", rng.choice(["*", "[ab]", "t*", "n?m"])],
    ]
    return rng.choice(forms)()


def same(args, ours, theirs):
    if args[0].upper() == "KEYS" and isinstance(ours[1], list) and isinstance(theirs[1], list):
        return sorted(ours[1]) == sorted(theirs[1])
    if args[0].upper() in ("TTL", "PEXPIRETIME") and ours[0] == theirs[0] == ":":
        # The clock went on between the two; what was set as Unix time must be exact.
        slack = 0 if int(theirs[1]) > 4000000000000 else 5000 if len(theirs[1]) > 10 else 1
        return abs(int(ours[1]) - int(theirs[1])) <= slack
    if args[0].upper() == "SCAN" and ours[0] == theirs[0] == "*":
        return ours[1][1] == theirs[1][1]  # cursors are the server's own
    return ours == theirs


def same_of_all(queued, ours, theirs):
    """Of EXEC: each reply by the command that was queued."""
    if ours[0] != "*" or theirs[0] != "*" or len(ours[1]) != len(queued):
        return ours == theirs
    return all(same(args, *both) for args, *both in zip(queued, ours[1], theirs[1]))


def compare(forebay, redis, commands, out):
    wrong = 0
    queued = []
    for args in commands:
        ours, theirs = forebay.ask(*args), redis.ask(*args)
        if args[0].upper() == "EXEC":
            fine = same_of_all(queued, ours, theirs)
        else:
            fine = same(args, ours, theirs)
        if " ".join(args[:2]).lower() not in DIFFERENT and not fine:
            out(f"{args}\n  forebay {ours}\n  redis   {theirs}")
            wrong += 1
        queued = queued + [args] if ours == ("+", b"QUEUED") else queued
        if args[0].upper() in ("EXEC", "DISCARD", "RESET"):
            queued = []
    return wrong


def skip_replies(forebay, redis, out):
    """CLIENT REPLY in a pipeline: which replies come at all."""
    wrong = 0
    for words in (["SKIP"], ["OFF", "ON"], ["SKIP", "SKIP"], ["OFF", "SKIP", "ON"]):
        replies = []
        for peer in (forebay, redis):
            for word in words:
                peer.send([b"CLIENT", b"REPLY", word.encode()])
                peer.send([b"ECHO", word.encode()])
            peer.send([b"ECHO", b"end"])
            got = []
            while not got or got[-1][1] != b"end":
                got.append(peer.read())
            replies.append(got)
        if replies[0] != replies[1]:
            out(f"CLIENT REPLY {words}\n  forebay {replies[0]}\n  redis   {replies[1]}")
            wrong += 1
    return wrong


def run(address, redis_address, seed, rounds, out=print):
    wrong = count = 0
    for protocol in ("2", "3"):
        forebay, redis = Peer(address), Peer(redis_address)
        for peer in (forebay, redis):
            assert peer.ask("FLUSHALL") == ("+", b"OK")
            assert peer.ask("HELLO", protocol)[0] in "*%"
        listed = [split(line) for line in LISTED.strip().splitlines()]
        listed = [args for args in listed if args[:2] != ["client", "reply"] or args[2] == "x"]
        rng = random.Random(seed)
        drawn = [random_command(rng) for _ in range(rounds)]
        wrong += compare(forebay, redis, listed, out)
        for peer in (forebay, redis):  # RESET was among them
            assert peer.ask("HELLO", protocol)[0] in "*%"
        wrong += compare(forebay, redis, drawn + [["DISCARD"]], out)
        wrong += skip_replies(forebay, redis, out)
        wrong += commands_of_redis_as_here(forebay, redis, out)
        count += len(listed) + len(drawn)
    out(f"seed {seed}: {count} commands, {wrong} replies differ")
    return wrong


def start_redis(folder):
    path = os.path.join(folder, "redis.sock")
    log = os.path.join(folder, "redis.log")
    server = subprocess.Popen(["redis-server", "--port", "0", "--unixsocket", path, "--save", "",
                               "--appendonly", "no", "--dir", folder, "--logfile", log])
    wait_for(path)
    return server, path


def start_forebay(program, folder):
    path = os.path.join(folder, "forebay.sock")
    settings = os.path.join(folder, "forebay.yaml")
    with open(settings, "w", encoding="utf-8") as file:
        file.write(f"listen: {{resp: 'unix:{path}', http: 'off'}}\nmemory: 64MiB\n")
    server = subprocess.Popen([program, "serve", "--config", settings], stdout=subprocess.DEVNULL)
    wait_for(path)
    return server, path


def wait_for(path):
    until = time.monotonic() + 10
    while True:
        try:
            with socket.socket(socket.AF_UNIX) as probe:
                probe.connect(path)
            return
        except OSError:
            if time.monotonic() > until:
                sys.exit(f"nobody listens at {path}")
            time.sleep(0.02)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program", nargs="?")
    parser.add_argument("--at", help="HOST:PORT of a forebay that runs already")
    parser.add_argument("--seed", type=int, default=int(os.environ.get("FB_TEST_SEED", "20240229")))
    parser.add_argument("--rounds", type=int, default=3000)
    options = parser.parse_args()
    if shutil.which("redis-server") is None:
        print("skipped: there is no redis-server here")
        sys.exit(77)
    servers = []
    with tempfile.TemporaryDirectory() as folder:
        try:
            server, redis = start_redis(folder)
            servers.append(server)
            if options.at:
                host, port = options.at.rsplit(":", 1)
                address = (host, int(port))
            else:
                server, address = start_forebay(options.program, folder)
                servers.append(server)
            wrong = run(address, redis, options.seed, options.rounds)
        finally:
            for server in servers:
                server.terminate()
                server.wait()
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
