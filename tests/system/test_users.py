#!/usr/bin/python3
"""Users: the same rights on every door, for every client; and the rules themselves beside those of a
real redis-server: random rules by ACL SETUSER, and ACL DRYRUN of every command that both have.

FB_TEST_SEED in the environment is the seed, where it is not to be the usual one."""

import base64
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import unittest
import urllib.parse

import redis

from forebay import CONFIG, PATIENCE, Server, TestCase, main, run

USERS = """
password: sesame
users:
  web: {password: pw, commands: [+@read, +@write, +acl|whoami, -flushall], keys: ["user:*"], tokens: [tok]}
  watcher: {tokens: [watch], commands: [+info, +fb.stats]}
listen: {socket: forebay.sock}
"""


def bearer(token):
    return {"Authorization": "Bearer " + token}


def basic(user, password):
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


class Doors(TestCase):
    def test_every_door_asks_for_the_same_rights(self):
        with Server(USERS) as server:
            with redis.Redis(port=server.resp_port) as nobody:
                with self.assertRaisesRegex(redis.RedisError, "Authentication required"):
                    nobody.ping()
            with redis.Redis(port=server.resp_port, username="web", password="pw", decode_responses=True) as web:
                self.assertTrue(web.set("user:1", "one"))
                self.assertEqual(web.acl_whoami(), "web")
                with self.assertRaises(redis.exceptions.NoPermissionError):
                    web.get("other")
                with self.assertRaises(redis.exceptions.NoPermissionError):
                    web.flushall()
            status = lambda path, headers=None, method="GET": server.http(method, path, headers=headers)[0]
            self.assertEqual(status("/v1/keys/user:1"), 401)
            self.assertEqual(status("/v1/keys/user:1", bearer("tok")), 200)
            self.assertEqual(status("/v1/keys/user:1", basic("web", "pw")), 200)
            self.assertEqual(status("/v1/keys/user:1", basic("web", "wrong")), 401)
            self.assertEqual(status("/v1/keys/other", bearer("tok")), 403)
            self.assertEqual(status("/metrics"), 401)
            self.assertEqual(status("/metrics", bearer("watch")), 200)
            self.assertEqual(status("/v1/keys/user:1", bearer("watch")), 403)
            self.assertEqual(status("/healthz"), 200)
            self.assertEqual(status("/readyz"), 200)
            with open(server.file) as file:
                self.assertIn("sesame", file.read())
            self.assertNotIn("sesame", "\n".join(server.log.lines))

    def test_a_reload_puts_other_users_in_force(self):
        with Server(USERS) as server:
            with redis.Redis(port=server.resp_port, username="web", password="pw") as web, \
                 redis.Redis(port=server.resp_port, password="sesame") as boss:
                self.assertTrue(web.set("user:1", "one"))
                self.assertTrue(boss.execute_command("ACL", "SETUSER", "guest", "on", "nopass", "+ping"))
                since = len(server.log.lines)
                server.file.write_text(USERS.replace("user:*", "member:*").replace("watcher", "other"))
                server.send_signal(signal.SIGHUP)
                server.log.wait(lambda line: '"reloaded"' in line, since)
                with self.assertRaises(redis.exceptions.NoPermissionError):
                    web.get("user:1")
                self.assertIsNone(web.get("member:1"))
                self.assertEqual(boss.acl_users(), ["default", "other", "web"])
                since = len(server.log.lines)
                server.file.write_text(USERS.replace("+@read", "+@reed"))
                server.send_signal(signal.SIGHUP)
                line = server.log.wait(lambda line: '"reload_refused"' in line, since)
                self.assertIn("forebay.yaml:4:", line)
                self.assertIn("users.web.commands: '+@reed': Unknown command or category name", line)
                self.assertIsNone(web.get("member:1"))

    def test_connections_of_a_user_that_is_deleted_end(self):
        with Server(USERS) as server, redis.Redis(port=server.resp_port, password="sesame") as boss:
            def idle():
                connection = socket.create_connection(("127.0.0.1", server.resp_port), PATIENCE)
                replies = connection.makefile("rb")
                connection.sendall(b"AUTH web pw\r\n")
                self.assertEqual(replies.readline(), b"+OK\r\n")
                return connection, replies
            connection, replies = idle()
            self.assertEqual(boss.acl_deluser("web"), 1)
            self.assertEqual(replies.read(), b"")
            replies.close()
            connection.close()
            since = len(server.log.lines)
            server.send_signal(signal.SIGHUP)
            server.log.wait(lambda line: '"reloaded"' in line, since)
            connection, replies = idle()
            server.file.write_text(USERS.replace("web:", "other:"))
            server.send_signal(signal.SIGHUP)
            self.assertEqual(replies.read(), b"")
            replies.close()
            connection.close()
            self.assertTrue(boss.ping())

    def test_who_listens_is_asked_again_when_the_users_change(self):
        with Server(USERS) as server, redis.Redis(port=server.resp_port, password="sesame") as boss:
            with server.socket(server.http_port) as listener, listener.makefile("rb") as lines:
                listener.sendall(b"GET /v1/events HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer watch\r\n\r\n")
                next(line for line in lines if line.startswith(b"data: "))
                self.assertTrue(boss.execute_command("ACL", "SETUSER", "watcher", "off"))
                try:
                    while lines.readline():
                        pass
                except ConnectionResetError:
                    pass
            self.assertEqual(server.http("GET", "/v1/events", headers=bearer("watch"))[0], 401)

    def test_the_command_line_signs_in(self):
        with Server(USERS) as server:
            url = f"127.0.0.1:{server.resp_port}"
            done = run("set", "user:1", "one", "--url", url)
            self.assertEqual(done.returncode, 3)
            self.assertIn("NOAUTH", done.stderr)
            for words, env in [(["--url", f"redis://web:pw@{url}"], {}),
                               (["--url", url, "--user", "web", "--password", "pw"], {}),
                               (["--url", url], {"FOREBAY_USER": "web", "FOREBAY_PASSWORD": "pw"}),
                               (["--url", f"unix://web:pw@{server.folder}/forebay.sock"], {})]:
                done = run("set", "user:1", "one", *words, env=env)
                self.assertEqual((done.returncode, done.stderr), (0, ""))
                done = run("get", "other", *words, env=env)
                self.assertEqual(done.returncode, 4)
                self.assertIn("NOPERM", done.stderr)
            done = run("limit", "show", "--url", url, env={"FOREBAY_PASSWORD": "sesame"})
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            done = run("get", "x", "--url", f"redis://web:wrong@{url}")
            self.assertEqual(done.returncode, 3)
            self.assertNotIn("wrong@", done.stderr)

    def test_a_failed_login_is_limited_on_http_too(self):
        rules = USERS + "limits: {signing_in: {limit: 3, window: 10h, per: address}}\n"
        with Server(rules.replace("listen: {", "listen: {auth_limit: signing_in, ")) as server:
            for _ in range(3):
                self.assertEqual(server.http("GET", "/v1/stats", headers=bearer("guess"))[0], 401)
            self.assertEqual(server.http("GET", "/v1/keys/user:1", headers=bearer("tok"))[0], 429)
            with redis.Redis(port=server.resp_port, username="web", password="pw") as web:
                with self.assertRaisesRegex(redis.RedisError, "too many failed authentication attempts"):
                    web.ping()


# ---- keys that are computed

SHOP = """
users:
  admin: {tokens: [admin], password: admin, commands: +@all, keys: "*"}
  web: {tokens: [tok], password: pw, commands: +@all, keys: ["%R~fruit:apple", "%R~list:r*", "%W~fruit:plum"]}
""" + CONFIG


class Computed(TestCase):
    """FB.FETCH and its kin, by the keys that their classes make."""

    def setUp(self):
        self.server = self.enterContext(Server(SHOP))
        self.web = self.enterContext(self.server.redis(username="web", password="pw"))
        self.admin = self.enterContext(self.server.redis(username="admin", password="admin"))

    def refuses(self, *words):
        with self.assertRaises(redis.exceptions.NoPermissionError, msg=words):
            self.web.execute_command(*words)

    def post(self, path, body):
        status, _, answer = self.server.http("POST", path, json.dumps(body), bearer("tok"))
        return status, json.loads(answer)

    def test_resp(self):
        fetch = self.web.execute_command
        self.assertIn("1.5", fetch("FB.FETCH", "fruit", "name", " Apple "))
        self.assertIn("cherry", fetch("FB.FETCH", "REFRESH", "TIMEOUT", 60000, "CLASS", "list", "colour", "red"))
        self.refuses("FB.FETCH", "fruit", "name", "plum")
        self.refuses("FB.FETCH", "list", "colour", "blue")
        self.assertEqual(len(fetch("FB.MFETCH", "fruit", 1, "name", "apple", "APPLE")), 2)
        self.refuses("FB.MFETCH", "fruit", 1, "name", "apple", "lemon")
        self.assertEqual(fetch("FB.KEY", "fruit", "name", "PLUM"), "fruit:plum")
        self.refuses("FB.KEY", "fruit", "name", "lemon")
        self.assertIn(fetch("FB.WARM", "list", "colour", "rose"), (0, 1))
        self.refuses("FB.WARM", "fruit", "name", "plum")
        self.refuses("FB.WARM", "fruit")
        self.assertEqual(fetch("FB.INVALIDATE", "KEY", "fruit:plum"), 0)
        self.refuses("FB.INVALIDATE", "KEY", "fruit:plum", "fruit:apple")
        self.refuses("FB.INVALIDATE", "TAG", "colour:red")
        for words, mistake in [(["nosuch", "name", "apple"], "there is no class 'nosuch'"),
                               (["fruit"], "needs the parameter 'name'"),
                               (["fruit", "nam", "x"], "has no parameter 'nam'")]:
            with self.assertRaisesRegex(redis.ResponseError, mistake):
                fetch("FB.FETCH", *words)

    def test_http(self):
        get = lambda path: self.server.http("GET", path, headers=bearer("tok"))[0]
        self.assertEqual(get("/v1/fetch/fruit?name=apple"), 200)
        self.assertEqual(get("/v1/fetch/fruit?name=plum"), 403)
        self.assertEqual(get("/v1/fetch/fruit?nam=plum"), 400)
        self.assertEqual(get("/v1/fetch/nosuch?name=plum"), 404)
        self.assertEqual(get("/v1/key/fruit?name=plum"), 200)
        self.assertEqual(get("/v1/key/fruit?name=lemon"), 403)
        apple = {"class": "fruit", "params": {"name": "apple"}}
        lemon = {"class": "fruit", "params": {"name": "lemon"}}
        status, answer = self.post("/v1/fetch", {"requests": [apple, {"class": "list", "params": {"colour": "red"}}]})
        self.assertEqual((status, [one["status"] for one in answer["results"]]), (200, [200, 200]))
        status, answer = self.post("/v1/fetch", {"requests": [apple, lemon]})
        self.assertEqual(status, 403)
        self.assertIn("requests[1]: ", answer["detail"])
        self.assertIn("'fruit:lemon'", answer["detail"])
        self.assertEqual(self.post("/v1/warm", apple)[0], 202)
        self.assertEqual(self.post("/v1/warm", lemon)[0], 403)
        self.assertEqual(self.post("/v1/warm", {"class": "fruit"})[0], 403)
        self.assertEqual(self.post("/v1/invalidate", {"keys": ["fruit:plum"]})[0], 200)
        self.assertEqual(self.post("/v1/invalidate", {"keys": ["fruit:plum", "fruit:apple"]})[0], 403)
        self.assertEqual(self.post("/v1/invalidate", {"tags": ["colour:red"]})[0], 403)

    def test_a_transaction_and_a_dry_run(self):
        with self.web.pipeline() as pipe:
            pipe.execute_command("FB.FETCH", "fruit", "name", "apple")
            pipe.execute_command("FB.INVALIDATE", "KEY", "fruit:plum")
            self.assertEqual(len(pipe.execute()), 2)
        with self.web.pipeline() as pipe:
            pipe.execute_command("FB.FETCH", "fruit", "name", "lemon")
            with self.assertRaises(redis.exceptions.NoPermissionError):
                pipe.execute()
        run_dry = lambda *words: self.admin.execute_command("ACL", "DRYRUN", "web", *words)
        self.assertEqual(run_dry("FB.FETCH", "fruit", "name", "apple"), "OK")
        self.assertIn("the 'fruit:lemon' key", run_dry("FB.MFETCH", "fruit", "1", "name", "apple", "LEMON"))

    def test_who_may_get_the_key_may_fetch_it_and_nobody_else(self):
        seed = int(os.environ.get("FB_TEST_SEED", 20240229))
        print(f"FB_TEST_SEED={seed}")
        rng = random.Random(seed)
        patterns = ["*:apple", "fruit:*", "fruit:p*", "list:?", "list:re[ad]", "list:*", "f*e", "fruit:[^a]*"]
        values = ["apple", " APPLE", "plum", "pear", "red", "rea", "r", "x:y", ""]
        denied = 0
        for _ in range(30):
            keys = [rng.choice(["~", "%R~", "%W~"]) + rng.choice(patterns) for _ in range(rng.randrange(3))]
            self.admin.execute_command("ACL", "SETUSER", "web", "resetkeys", *keys)
            for _ in range(12):
                words = rng.choice([("fruit", "name"), ("list", "colour")]) + (rng.choice(values),)
                key = self.admin.execute_command("FB.KEY", *words)
                may = self.answers("GET", key)
                denied += not may
                route = f"/v1/fetch/{words[0]}?" + urllib.parse.urlencode([words[1:]])
                status = self.server.http("GET", route, headers=bearer("tok"))[0]
                said = f"{words} by {keys}"
                self.assertEqual(self.answers("FB.FETCH", *words), may, said)
                self.assertEqual(self.answers("FB.MFETCH", words[0], 1, *words[1:]), may, said)
                self.assertEqual(status != 403, may, said)
        self.assertTrue(60 < denied < 330, denied)

    def answers(self, *words):
        try:
            self.web.execute_command(*words)
        except redis.exceptions.NoPermissionError:
            return False
        return True


class Guard(TestCase):
    def serve(self, *words, env=None):
        with tempfile.TemporaryDirectory(prefix="forebay-test.") as folder:
            return run("check", *words, cwd=folder, env=env)

    def test_other_hosts_do_not_get_in_by_mistake(self):
        for option in ["listen.resp=0.0.0.0:1", "listen.http=[::]:1", "listen.resp=192.0.2.1:1",
                       "listen.http=some.host:1"]:
            done = self.serve("--set", option)
            self.assertEqual(done.returncode, 2, done)
            self.assertIn("the user `default` needs no password", done.stderr)
            self.assertIn("--insecure", done.stderr)
            self.assertEqual(self.serve("--set", option, "--set", "password=x").returncode, 0)
            self.assertEqual(self.serve("--set", option, env={"FOREBAY_PASSWORD": "x"}).returncode, 0)
            self.assertEqual(self.serve("--set", option, "--set", "users.default={off: true}").returncode, 0)
            self.assertEqual(self.serve("--set", option, "--set", "listen.insecure=true").returncode, 0)
        for option in ["listen.resp=127.0.0.1:1", "listen.resp=[::1]:1", "listen.http=localhost:1",
                       "listen.resp=unix:/tmp/x", "listen.http=off", "listen.resp=127.8.8.8:1"]:
            self.assertEqual(self.serve("--set", option).returncode, 0)

    def test_the_server_does_not_start_then(self):
        with tempfile.TemporaryDirectory(prefix="forebay-test.") as folder:
            done = run("serve", "--set", "listen.resp=0.0.0.0:0", "--set", "listen.http=off", cwd=folder)
            self.assertEqual(done.returncode, 2)
            self.assertIn("--insecure", done.stderr)


# ---- beside Redis

PATTERNS = ["a", "b", "*", "?", "a*", "[ab]", "ab", ":", "a?b*"]


class Redis:
    """A redis-server on a Unix socket."""

    def __enter__(self):
        self.folder = tempfile.mkdtemp(prefix="forebay-test.")
        path = self.folder + "/redis.sock"
        self.process = subprocess.Popen(["redis-server", "--port", "0", "--unixsocket", path, "--save", ""],
                                        stdout=subprocess.DEVNULL, cwd=self.folder)
        end = time.monotonic() + PATIENCE
        while True:
            with socket.socket(socket.AF_UNIX) as probe:
                try:
                    probe.connect(path)
                    break
                except OSError:
                    if time.monotonic() > end:
                        raise
            time.sleep(0.01)
        self.client = redis.Redis(unix_socket_path=path, decode_responses=True)
        return self.client

    def __exit__(self, *_):
        self.client.close()
        self.process.kill()
        self.process.wait()
        shutil.rmtree(self.folder)


def rows(client):
    """Every command with its arity, subcommands by "parent|sub"."""
    with socket_of(client) as say:
        listed = say("COMMAND")
    out = {}
    for row in listed:
        subs = row[9] if len(row) > 9 else []
        if not subs:
            out[row[0]] = (row[1], set(row[6]))
        for sub in subs:
            out[sub[0]] = (sub[1], set(sub[6]))
    return out


class socket_of:
    """Plain RESP2, for what redis-py would turn into something else."""

    def __init__(self, client):
        self.options = client.connection_pool.connection_kwargs

    def __enter__(self):
        if "path" in self.options:
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.settimeout(PATIENCE)
            self.socket.connect(self.options["path"])
        else:
            self.socket = socket.create_connection(("127.0.0.1", self.options["port"]), PATIENCE)
        self.file = self.socket.makefile("rb")
        return self.say

    def __exit__(self, *_):
        self.file.close()
        self.socket.close()

    def say(self, *words):
        self.socket.sendall(b"*%d\r\n" % len(words) +
                            b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in map(str.encode, map(str, words))))
        return self.read()

    def read(self):
        line = self.file.readline().rstrip(b"\r\n")
        kind, rest = line[:1], line[1:]
        if kind == b":":
            return int(rest)
        if kind == b"$":
            return None if rest == b"-1" else self.file.read(int(rest) + 2)[:-2].decode()
        if kind == b"*":
            return None if rest == b"-1" else [self.read() for _ in range(int(rest))]
        return line.decode()


def arguments(name, arity, rng):
    """A command line of this command with keys of a few letters, long enough for its arity."""
    words = name.split("|")
    count = abs(arity) + (rng.randrange(3) if arity < 0 else 0)
    while len(words) < count:
        words.append("".join(rng.choices("ab:c", k=rng.randrange(1, 4))))
    if name == "set" and rng.random() < 0.3:
        words += ["GET"]
    return words


def rule(names, categories, rng):
    kind = rng.randrange(16)
    sign = rng.choice("++-")
    if kind == 0:
        return sign + "@all"
    if kind < 5:
        return sign + "@" + rng.choice(categories)
    if kind < 9:
        pattern = "".join(rng.choices(PATTERNS, k=rng.randrange(1, 3)))
        return rng.choice(["~", "%R~", "%W~", "%RW~"]) + (pattern if pattern != "*" else "a")
    if kind == 9:
        return rng.choice(["resetkeys", "allkeys", "resetkeys"])
    if kind == 10:
        return f"+select|{rng.randrange(3)}"
    if kind == 11:
        return rng.choice(["reset", "nocommands", "allcommands"])
    return sign + rng.choice(names)


@unittest.skipIf(shutil.which("redis-server") is None, "there is no redis-server here")
class BesideRedis(TestCase):
    def test_random_rules_say_what_redis_says_they_do(self):
        seed = int(os.environ.get("FB_TEST_SEED", 20240229))
        print(f"FB_TEST_SEED={seed}")
        rng = random.Random(seed)
        with Server() as server, Redis() as theirs, server.redis() as ours:
            if not theirs.info("server")["redis_version"].startswith("7.0."):
                self.skipTest("another version than 7.0")
            own_rows, their_rows = rows(ours), rows(theirs)
            with socket_of(ours) as say_ours, socket_of(theirs) as say_theirs:
                # What Redis 7.0 has as well, in the same categories: what later versions brought is
                # in none of its.
                names = sorted(name for name in own_rows if own_rows[name] == their_rows.get(name))
                self.assertGreater(len(names), 80)
                containers = sorted({name.split("|")[0] for name in names if "|" in name})
                categories = say_theirs("ACL", "CAT")
                self.assertLessEqual(set(categories), set(say_ours("ACL", "CAT")))
                for pattern in ["%R~k", "%W~k", "%RW~k", "~other"]:
                    for say in (say_ours, say_theirs):
                        self.assertEqual(say("ACL", "SETUSER", "someone", "reset", "+@all", "&*", pattern), "+OK")
                    for name in names:
                        words = name.split("|")
                        words += ["k"] * (abs(own_rows[name][0]) - len(words))
                        for more in [[], ["GET"]] if name == "set" else [[]]:
                            answers = [say("ACL", "DRYRUN", "someone", *words, *more)
                                       for say in (say_ours, say_theirs)]
                            self.assertEqual(*answers, f"{words + more} by {pattern}")
                for round_ in range(60):
                    rules = [rule(names + containers, categories, rng) for _ in range(rng.randrange(1, 16))]
                    taken = []
                    for word in rules:
                        answers = [say("ACL", "SETUSER", "someone", word) for say in (say_ours, say_theirs)]
                        self.assertEqual(*answers, f"{word} after {taken}")
                        taken.append(word)
                    for name in rng.sample(names, 60):
                        words = arguments(name, own_rows[name][0], rng)
                        answers = [say("ACL", "DRYRUN", "someone", *words) for say in (say_ours, say_theirs)]
                        self.assertEqual(*answers, f"{words} by {taken}")
                    say_ours("ACL", "DELUSER", "someone")
                    say_theirs("ACL", "DELUSER", "someone")

    def test_words_are_refused_in_its_words(self):
        with Server() as server, Redis() as theirs, server.redis() as ours:
            if not theirs.info("server")["redis_version"].startswith("7.0."):
                self.skipTest("another version than 7.0")
            with socket_of(ours) as say_ours, socket_of(theirs) as say_theirs:
                for words in [["+foo"], ["+@foo"], ["-foo"], ["+"], ["bad"], [""], ["%~x"], ["%Q~x"],
                              ["~*", "~x"], ["&*", "&x"], ["+config|foo"], ["-config|foo"], ["+config|get|x"],
                              ["-get|a"], ["+get|a"], ["+select|"], ["#12"], ["!12"], ["<x"], [">x", "<x"],
                              ["~a b"], ["nopass"], [">a", "resetpass"], ["on", "off"], ["allkeys", "resetkeys"],
                              ["reset"], ["RESET"], ["clearselectors"], ["AllCommands"], ["+GET"], ["+@READ"], ["+Config|Get"]]:
                    answers = [say("ACL", "SETUSER", "x", *words) for say in (say_ours, say_theirs)]
                    self.assertEqual(*answers, words)
                for words in ["WHOAMI", "USERS", "CAT foo", "DELUSER default", "DELUSER nix", "GETUSER nix",
                              "GENPASS 0", "GENPASS x", "GENPASS 9999", "DRYRUN nix get x", "DRYRUN default foo",
                              "DRYRUN default get", "DRYRUN default config foo", "LOG x", "foo", "CAT", "SETUSER",
                              "GETUSER", "DRYRUN default", "CAT a b", "GENPASS 1 2", "LOG a b"]:
                    answers = [say("ACL", *words.split()) for say in (say_ours, say_theirs)]
                    if words == "CAT":
                        answers[0] = [name for name in answers[0] if name not in ("cache", "limit", "queue", "mail")]
                    self.assertEqual(*answers, words)


if __name__ == "__main__":
    main()
