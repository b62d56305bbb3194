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

MEMORY = 64 << 20  # of both

# Commands whose replies say who answers, or what forebay does not do.
DIFFERENT = set()

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
nosuch a\x00b c\x00 d
nosuch \x00
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
set k v ex x ex 100
set k v ex 100 nx ex x xx
set k v pxat 4102444800123 get pxat 4102444800456
pexpiretime k
set k v keepttl ex 1 keepttl
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
getex k persist persist
getex nothing ex 1 ex x
getex k ex x ex 100
getex k ex 100 px 100
getex k ex 100 persist
getex k ex 50 ex 100000 ex
getex k ex 50 ex 100000
ttl k
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
incrbyfloat f5 1
incrbyfloat f6 1e4900
incrbyfloat f6 -1
get f6
incrbyfloat f6 1e4932
incrbyfloat f7 1e5000
incrbyfloat f7 -1e5000
incrbyfloat f7 1e-5000
incrbyfloat f7 1e-4950
incrbyfloat f7 0x1p3
set f8 1e-5000
incrbyfloat f8 1
del f5 f6
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
set "" empty-key
keys ""
scan 0 count 100000 match ""
scan 0 match a count 100000 match ""
del ""
keys ""
scan 0 match "" count 100000
keys
keys a b
scan
scan x
scan - count 100000 match zz*
scan + count 100000 match zz*
scan "" count 100000 match zz*
scan -0 count 100000 match zz*
scan +0 count 100000 match zz*
scan " 0"
scan "0 "
scan -1 foo
scan 0 count 0
scan 0 count -1
scan 0 count x
scan 0 foo
scan 0 match
scan 0 match zz* count 100000
scan 0 type foo
scan 99999999999999999999999
randomkeyy
lcs
lcs a
set lcs1 ohmytext
set lcs2 mynewtext
lcs lcs1 lcs2
lcs lcs2 lcs1
lcs lcs1 lcs1
lcs lcs1 nothing
lcs nothing nothing2
lcs lcs1 lcs2 len
lcs lcs1 nothing len
lcs lcs1 lcs2 idx
lcs nothing lcs2 idx
lcs lcs1 lcs1 idx withmatchlen
lcs lcs1 lcs2 idx minmatchlen 4
lcs lcs1 lcs2 idx minmatchlen 4 withmatchlen
lcs lcs1 lcs2 idx minmatchlen 5
lcs lcs1 lcs2 idx minmatchlen -1
lcs lcs1 lcs2 minmatchlen 4
lcs lcs1 lcs2 withmatchlen
lcs lcs1 lcs2 minmatchlen x
lcs lcs1 lcs2 minmatchlen
lcs lcs1 lcs2 idx len
lcs lcs1 lcs2 len len
lcs lcs1 lcs2 foo
set lcs3 CACCCCTAAGGTACCTTTGGTTC
set lcs4 ACCTAGTACTTTG
lcs lcs3 lcs4 idx withmatchlen
lcs lcs4 lcs3 idx withmatchlen
lcs lcs3 lcs4
lcs lcs4 lcs3
setbit bit 7 1
get bit
setbit bit 7 0
setbit bit 100 1
strlen bit
getbit bit 100
getbit bit 101
getbit bit 100000
getbit nothing 0
setbit bit -1 1
setbit bit x 1
setbit bit 4294967296 1
setbit bit 0 2
setbit bit 0 x
setbit bit 0
getbit bit -1
getbit bit 4294967296
getbit bit
setbit bitzero 20 0
strlen bitzero
copy
copy lcs1
copy lcs1 lcs1
copy nothing nothing
copy nothing other
copy lcs1 copied
get copied
copy lcs2 copied
copy lcs2 copied replace
get copied
copy lcs2 copied2 db 0
copy lcs2 copied2 db 0 replace
copy lcs2 copied2 db x
copy lcs2 copied2 db -1
copy lcs2 copied2 db 100000
copy lcs2 copied2 db 2147483648
copy lcs2 copied2 db
copy lcs2 copied2 foo
set brief x exat 4102444800
copy brief copied replace
expiretime copied
copy lcs1 copied replace
ttl copied
rename
rename lcs1
rename nothing other
rename nothing nothing
rename lcs1 lcs1
rename lcs1 moved
exists lcs1
get moved
rename brief moved
expiretime moved
exists brief
rename lcs2 moved
ttl moved
get moved
renamenx
renamenx nothing other
renamenx nothing moved
renamenx nothing nothing
renamenx moved moved
renamenx moved lcs3
renamenx moved moved2
get moved2
set "" empty-key
rename "" empty-value
set empty-value ""
rename empty-value empty-moved
get empty-moved
touch empty-moved nothing lcs3 lcs3
function
function foo
function flush
function flush sync
function flush async
function flush foo
function flush sync async
function list
function list withcode
function list libraryname x
function list libraryname x withcode
function list libraryname
function list libraryname x libraryname y
function list withcode withcode
function list foo
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
object freq nothing
object freq
object freq o x
object idletime o
object idletime
object refcount o
object idletime nothing
object foo o
object
select 0
select x
select 99999
select -1
select 2147483647
select 2147483648
select -2147483649
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
hello 3 setname "a b" foo
hello 3 setname "a b" auth nobody x
hello 3 setname q foo
client getname
hello 3 setname r auth nobody x
client getname
hello 3 auth nobody x setname s
client getname
client setname ""
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
client caching yes
client tracking on
client caching yes
client caching no
client tracking off
client tracking foo redirect 999999
client tracking off redirect 999999
client tracking off redirect 999999 redirect 999999
client unblock 999999
client unblock 999999 foo
client unblock 999999 error x
client info x
config
config get
config get nothing-of-that-name
config get save
config get appendonly
config get SAVE
config set
config set save
config set save "" save
config set timeout 0 foo
config set nosuch 1
config set maxmemory
config set maxmemory 1 maxmemory 2
config set maxmemory x
config set maxmemory -1
config set maxmemory 1x
config set maxmemory 100mb
config get maxmemory
config set MAXMEMORY 64mb
config get MaxMemory
config set loglevel foo
config set loglevel warning
config get loglevel
config set loglevel notice
config get loglevel
config set timeout 300
config get timeout
config set timeout -1
config set timeout x
config set timeout 0 tcp-keepalive 60
config get timeout
config get tcp-keepalive
config set timeout 10 nosuch 1
config get timeout
config set timeout 10 maxmemory x
config get timeout
config set daemonize yes
config set databases 3
config get maxmemory-policy
config get databases
config set proto-max-bulk-len 100mb
config get proto-max-bulk-len
config set proto-max-bulk-len 1mb
setrange long 1048575 x
setrange long 1048575 xy
setrange long 1048576 x
append long x
append long ""
setrange long 0 x
strlen long
setbit long 8388607 1
setbit long 8388608 1
getbit long 8388608
del long
config set proto-max-bulk-len 512mb
config set client-query-buffer-limit 1gb
config get client-query-buffer-limit
config set client-output-buffer-limit foo
config set client-output-buffer-limit "foo 0 0 0"
config set client-output-buffer-limit "normal 0 0"
config set client-output-buffer-limit "normal 0 0 x"
config set client-output-buffer-limit "normal 64mb 1mb 30"
config set save ""
config get replica-read-only
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
command getkeys acl nosuch x
command getkeys object nosuch x
command getkeys get a b
command getkeys set a b ex 1
command getkeys object encoding x
command getkeys copy a b replace
command getkeys rename a b
command getkeys lcs a b idx
command getkeys memory usage a
command getkeys object freq a
command getkeysandflags
command getkeysandflags get
command getkeysandflags get a
command getkeysandflags set a b
command getkeysandflags set a b get
command getkeysandflags mset a 1 b 2
command getkeysandflags msetnx a 1 b 2
command getkeysandflags rename a b
command getkeysandflags renamenx a b
command getkeysandflags copy a b
command getkeysandflags del a b
command getkeysandflags expire a 1
command getkeysandflags lcs a b
command getkeysandflags getex a
command getkeysandflags object encoding a
command getkeysandflags ping
command getkeysandflags nosuch x
command list foo
command list filterby foo x
command list filterby module x
command list filterby pattern strlen
command list filterby pattern nosuch
command list filterby pattern STRLEN
command list filterby pattern Config|[R]E*
command list filterby pattern config|*re*
command list filterby pattern object|e*
command list filterby pattern get
command list filterby aclcat nosuch
command list filterby
command list filterby pattern
command info nosuch
command info get|x
command info config|get|x
command info nosuch|get
command docs nosuch
memory
memory foo
memory usage
memory usage nothing
memory usage k samples
memory usage k samples x
memory usage k samples -1
memory usage k foo 1
memory usage nothing samples 1 samples 2
memory usage nothing samples x foo
memory usage nothing samples 1 samples -1
memory usage nothing samples 1 samples
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
        self.socket.settimeout(120)
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
    """What COMMAND INFO says of each command both know: name, arity, flags, keys, categories, tips,
    key specifications (without the notes for people that Redis has there)."""
    wrong = 0
    names = [name[1].decode() for name in forebay.ask("COMMAND", "LIST")[1]]
    for name in sorted(name for name in names if "|" not in name):
        ours = forebay.ask("COMMAND", "INFO", name)[1][0][1]
        theirs = redis.ask("COMMAND", "INFO", name)[1][0][1]
        if not theirs:
            if not name.startswith(("fb.", "cl.")):
                out(f"COMMAND INFO {name}: redis has no such command")
                wrong += 1
            continue
        for ours_one, theirs_one in [(ours, theirs)] + pair_subs(ours[9][1], theirs[9][1]):
            ours_one, theirs_one = comparable(ours_one), comparable(theirs_one)
            if ours_one != theirs_one:
                out(f"COMMAND INFO {name}:\n  forebay {ours_one}\n  redis   {theirs_one}")
                wrong += 1
    return wrong


def comparable(info):
    """But for its subcommands, and without the notes of its key specifications: they come as the first
    pair, in RESP2 as the first two of a list."""
    specs = []
    for mark, parts in info[8][1]:
        first = parts[0][0] if mark == "%" else parts[0]
        if first == ("$", b"notes"):
            parts = parts[1:] if mark == "%" else parts[2:]
        specs.append((mark, parts))
    return [*info[:8], info[8][0], specs, info[9][0]]


def pair_subs(ours, theirs):
    known = {sub[1][0]: sub[1] for sub in theirs}
    return [(sub[1], known[sub[1][0]]) for sub in ours if sub[1][0] in known]


def client_as_in_redis(forebay, redis, out):
    """What CLIENT INFO says of a connection by a Unix socket, as far as it does not depend on who says it."""
    told = []
    for peer in (forebay, redis):
        line = peer.ask("CLIENT", "INFO")[1].decode().removeprefix("txt:")
        fields = dict(field.split("=", 1) for field in line.split())
        told.append({name: fields[name] for name in ("name", "flags", "db", "sub", "psub", "multi", "cmd",
                                                     "user", "redir", "resp")})
        told[-1]["by the same address"] = fields["addr"] == fields["laddr"]
    if told[0] != told[1]:
        out(f"CLIENT INFO\n  forebay {told[0]}\n  redis   {told[1]}")
    return told[0] != told[1]


KEYS = ["a", "b", "c", "num", "text", "bin"]
VALUES = ["", "0", "1", "-1", "12", "9223372036854775807", "1.5", "abc", "\x00\xff\r\n", "x" * 300]
NUMBERS = ["0", "1", "-1", "5", "-3", "100", "9223372036854775807", "x", "1.5", ""]

FLOATS = ["1", "-1.5", "0.1", "1e17", "1e-17", "1e300", "-1e300", "1e5000", "1e-5000", "0x10", "0x1p3", "+1", "-0",
          ".5", "5.", ".", "1e", "inf", "-Infinity", "nan", " 1", "1 ", "", "1,5", "9" * 30, "1" * 300]
# What a mistake puts in. No number of these ends a life while the test runs, nor in the past, nor later
# than forebay counts.
WORDS = ["NX", "XX", "GT", "LT", "EX", "PX", "EXAT", "PXAT", "KEEPTTL", "PERSIST", "GET", "REPLACE", "IDX", "LEN",
         "foo", "", " ", "0", "-1", "x", "1.5", " 1", "+1", "01", "-0", "1e3", "9223372036854775808", "\x00"]
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
        lambda: ["GETEX", key()] + expiry() + expiry(),
        lambda: ["MGET"] + [key() for _ in range(rng.randint(0, 4))],
        lambda: ["MSET"] + [word() for word in [key, value] * rng.randint(0, 3)],
        lambda: ["MSETNX"] + [word() for word in [key, value] * rng.randint(0, 2)],
        lambda: ["APPEND", key(), value()],
        lambda: ["STRLEN", key()],
        lambda: ["GETRANGE", key(), number(), number()],
        lambda: ["SETRANGE", key(), rng.choice(["0", "1", "5", "-1", "x"]), value()],
        lambda: [rng.choice(["INCR", "DECR"]), key()],
        lambda: [rng.choice(["INCRBY", "DECRBY", "INCRBYFLOAT"]), key(), number()],
        lambda: ["INCRBYFLOAT", key(), rng.choice(FLOATS)],
        lambda: [rng.choice(["DEL", "UNLINK", "EXISTS", "TOUCH"]), key(), key()],
        lambda: [rng.choice(["EXPIRE", "PEXPIRE"]), key(), rng.choice(["100000", "-5", life_s()])]
        + rng.choice([["NX"], ["XX"], []]),
        lambda: ["EXPIREAT", key(), rng.choice(["4102444800", "4000000000", "1"])] + condition(),
        lambda: ["PEXPIREAT", key(), "41024448%05d" % rng.randint(0, 99999)] + condition(),
        lambda: [rng.choice(["TTL", "PERSIST", "TYPE", "PEXPIRETIME"]), key()],
        lambda: ["DBSIZE"],
        lambda: [rng.choice(["RENAME", "RENAMENX"]), key(), key()],
        lambda: ["COPY", key(), key()] + rng.choice([["REPLACE"], []]),
        lambda: ["LCS", key(), key()] + rng.choice([["LEN"], ["IDX"], ["IDX", "WITHMATCHLEN"],
                                                    ["IDX", "MINMATCHLEN", "2"], []]),
        lambda: ["SETBIT", key(), str(rng.choice([0, 1, 7, 8, 100, 2500])), rng.choice("01")],
        lambda: ["GETBIT", key(), str(rng.choice([0, 1, 7, 8, 100, 2500]))],
        lambda: rng.choice([["MULTI"], ["EXEC"], ["EXEC"], ["DISCARD"]]),
        lambda: ["KEYS", rng.choice(["*", "[ab]", "t*", "n?m"])],
    ]
    return mistaken(rng, rng.choice(forms)())


def mistaken(rng, args):
    """Now and then with a word too few, too many, twice, or another one."""
    kind, place = rng.randint(0, 15), rng.randrange(1, len(args)) if len(args) > 1 else 0
    if place == 0 or kind > 3:
        return args
    before, at, after = args[:place], args[place:place + 1], args[place + 1:]
    return before + [[], at + at, at + [rng.choice(WORDS)], [rng.choice(WORDS)]][kind] + after


def same(args, ours, theirs):
    unordered = args[0].upper() == "KEYS" or [arg.upper() for arg in args[:2]] == ["COMMAND", "LIST"]
    if unordered and isinstance(ours[1], list) and isinstance(theirs[1], list):
        return sorted(ours[1]) == sorted(theirs[1])
    if args[0].upper() in ("TTL", "PEXPIRETIME") and ours[0] == theirs[0] == ":":
        # The clock went on between the two; what was set as Unix time must be exact, and so what is no time.
        is_exact = int(theirs[1]) > 4000000000000 or int(theirs[1]) < 0
        slack = 0 if is_exact else 5000 if len(theirs[1]) > 10 else 5
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


def reset_of_a_muted(address, redis_address, out):
    """The reply that is to be skipped is RESET's own."""
    replies = []
    for where in (address, redis_address):
        peer = Peer(where)
        for args in (["CLIENT", "REPLY", "SKIP"], ["RESET"], ["PING"]):
            peer.send([arg.encode() for arg in args])
        replies.append(peer.read())
    if replies[0] != replies[1]:
        out(f"CLIENT REPLY SKIP, RESET\n  forebay {replies[0]}\n  redis   {replies[1]}")
    return replies[0] != replies[1]


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
        wrong += client_as_in_redis(forebay, redis, out)
        wrong += commands_of_redis_as_here(forebay, redis, out)
        count += len(listed) + len(drawn)
    wrong += reset_of_a_muted(address, redis_address, out)
    out(f"seed {seed}: {count} commands, {wrong} replies differ")
    return wrong


def start_redis(folder):
    path = os.path.join(folder, "redis.sock")
    log = os.path.join(folder, "redis.log")
    server = subprocess.Popen(["redis-server", "--port", "0", "--unixsocket", path, "--save", "",
                               "--appendonly", "no", "--databases", "1",
                               "--maxmemory", str(MEMORY), "--maxmemory-policy", "allkeys-lfu",
                               "--replica-read-only", "no", "--dir", folder, "--logfile", log])
    wait_for(path)
    return server, path


def start_forebay(program, folder):
    path = os.path.join(folder, "forebay.sock")
    settings = os.path.join(folder, "forebay.yaml")
    with open(settings, "w", encoding="utf-8") as file:
        file.write(f"listen: {{resp: 'unix:{path}', http: 'off'}}\nmemory: {MEMORY}\n")
    server = subprocess.Popen([program, "serve", "--config", settings], stdout=subprocess.DEVNULL)
    wait_for(path)
    return server, path


def wait_for(path):
    until = time.monotonic() + 120
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
