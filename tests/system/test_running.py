#!/usr/bin/python3
"""Starting, reloading, stopping: what an operator does and sees."""

import json
import os
import pathlib
import select
import signal
import socket
import threading

import redis

from forebay import (CONFIG, PATIENCE, SLOW_ROUNDS, Replies, Server, TestCase, command, event_of, main,
                     read_all)
from shared import free_port


class Starting(TestCase):
    def fail_to_start(self, **options):
        """The exit status and the log of a server that does not come up."""
        server = Server(**options)
        self.addCleanup(server.remove)
        with self.assertRaises(AssertionError):
            server.start()
        return server.wait(), [event_of(line) for line in server.log.lines]

    def test_a_taken_port_is_named_with_its_owner_and_a_way_out(self):
        for door, place in (("resp", 0), ("http", 1)):
            with socket.create_server(("127.0.0.1", 0)) as taken:
                ports = [0, 0]
                ports[place] = taken.getsockname()[1]
                status, log = self.fail_to_start(ports=ports)
                self.assertEqual(status, 3)
                said = next(event for event in log if event["event"] == "address_taken")
                self.assertEqual(said["address"], f"127.0.0.1:{ports[place]}")
                self.assertIn(f"process {os.getpid()}", said["by"])
                self.assertIn(f"FOREBAY_LISTEN_{door.upper()}", said["hint"])

    def test_a_second_forebay_does_not_share_the_port_of_the_first(self):
        with Server() as first:
            status, log = self.fail_to_start(ports=(first.resp_port, 0))
            self.assertEqual(status, 3)
            self.assertIn(f"process {first.process.pid}", log[-1]["by"])

    def test_a_wrong_query_is_refused_with_its_place_and_the_words_of_sqlite(self):
        wrong = CONFIG.replace("FROM fruit WHERE colour", "FROM frut WHERE colour")
        line = next(i for i, text in enumerate(wrong.splitlines(), 1) if "frut" in text)
        status, log = self.fail_to_start(config=wrong)
        self.assertEqual(status, 2)
        error = next(event for event in log if event["event"] == "configuration_refused")["error"]
        self.assertRegex(error, rf"forebay\.yaml:{line}:\d+: .*list.*no such table: frut")

    def test_an_unknown_option_is_refused_with_the_nearest_name(self):
        status, log = self.fail_to_start(config=CONFIG + "memry: 1MiB\n")
        self.assertEqual(status, 2)
        error = next(event for event in log if event["event"] == "configuration_refused")["error"]
        self.assertIn("memry", error)
        self.assertIn("memory", error)

    def test_a_missing_database_is_refused(self):
        status, log = self.fail_to_start(config=CONFIG.replace("shop.db", "no/such.db"))
        self.assertEqual(status, 2)
        self.assertIn("no/such.db", log[-1]["error"])

    def test_the_environment_and_dotenv_configure_in_order(self):
        server = Server(config=CONFIG + "memory: 8MiB\n", env={"FOREBAY_CLASSES_FRUIT_TTL": "7m"})
        (server.folder / ".env").write_text(
            "# for this machine\nexport FOREBAY_MEMORY=16MiB\nFOREBAY_CLASSES_FRUIT_TTL='9m'\n"
            "FOREBAY_CLASSES_LIST_TTL=\"3m\"\nOTHER=ignored\n")
        with server:
            self.assertEqual(server.stats()["memory_limit_bytes"], 16 << 20)  # .env over the file
            self.assertEqual(server.stats("fruit")["ttl_ms"], 7 * 60000)  # the environment over .env
            self.assertEqual(server.stats("list")["ttl_ms"], 3 * 60000)

    def test_who_sends_nothing_does_not_carry_what_sends(self):
        with Server() as server, server.redis() as client:
            self.assertTrue(client.set("word", "kept") and client.get("word") == "kept")
            maps = pathlib.Path(f"/proc/{server.process.pid}/maps").read_text()
            self.assertIn("libsqlite3", maps)  # what it has is seen
            self.assertNotIn("libcurl", maps)

    def test_a_misspelt_variable_is_refused(self):
        status, log = self.fail_to_start(env={"FOREBAY_MEMROY": "1GiB"})
        self.assertEqual(status, 2)
        self.assertIn("FOREBAY_MEMROY", log[-1]["error"])

    def test_a_redis_of_the_environment_is_the_shared_tier(self):
        with Server(env={"REDIS_URL": "redis://127.0.0.1:1"}) as server:
            away = server.wait_for("shared_tier_away")
            self.assertEqual((away["level"], away["address"]), ("warn", "redis://127.0.0.1:1"))
            with server.redis() as client:
                self.assertTrue(client.set("word", "kept") and client.get("word") == "kept")


class Reloading(TestCase):
    def reload(self, server, config, event):
        since = len(server.log.lines)
        server.file.write_text(config)
        server.send_signal(signal.SIGHUP)
        return server.wait_for(event, since)

    def test_a_good_configuration_takes_effect_and_entries_stay(self):
        with Server() as server, server.redis() as client:
            client.execute_command("FB.FETCH", "fruit", "name", "apple")
            with self.assertRaises(redis.ResponseError):
                client.execute_command("FB.FETCH", "price", "name", "plum")
            more = CONFIG + ('  price: {key: "price:{name}", source: shop, one: true, '
                             'query: "SELECT price FROM fruit WHERE name = :name"}\n')
            self.reload(server, more, "reloaded")
            self.assertEqual(client.execute_command("FB.FETCH", "price", "name", "plum"), '{"price":2.25}')
            client.execute_command("FB.FETCH", "fruit", "name", "apple")
            self.assertEqual(server.stats("fruit")["loads"], 1)

    def test_memory_that_needs_a_restart_is_told_with_the_reason(self):
        with Server(config=CONFIG + "memory: 64MiB\n") as server:
            for size, why in (("4GiB", "too far above"), ("1MiB", "too far below")):
                refused = self.reload(server, CONFIG + f"memory: {size}\n", "reload_refused")
                self.assertIn(f"memory cannot become {size} without a restart: {why}", refused["error"])
            self.reload(server, CONFIG + "memory: 128MiB\n", "reloaded")

    def test_a_wrong_configuration_changes_nothing(self):
        with Server() as server, server.redis() as client:
            for wrong in (CONFIG.replace("FROM fruit WHERE name", "FROM frut WHERE name"),
                          CONFIG + "memry: 1MiB\n", "a: [", "classes: 7\n"):
                refused = self.reload(server, wrong, "reload_refused")
                self.assertIn("forebay.yaml", refused["error"])
                self.assertEqual(json.loads(client.execute_command(
                    "FB.FETCH", "REFRESH", "fruit", "name", "apple"))["price"], 1.5)

    def test_what_cannot_be_reloaded_is_named(self):
        with Server() as server:
            self.reload(server, CONFIG + "loops: 3\n", "reloaded")
            self.assertEqual([event["option"] for event in server.events("option_waits_for_restart")],
                             ["loops"])

    def test_every_option_changes_at_once_or_with_a_restart_as_its_table_says(self):
        # Of each kind something that is valid for most options of it.
        others = ("true", "false", "20000", "60000", "7s", "3m", "8MiB", "error", "text", "optional", "1.3", "auth")
        with Server() as server, server.redis() as client:
            options = [one for one in server.get_json("/v1/config")["options"]
                       if not one["path"].startswith(("tls.", "classes.", "limits.", "queues.", "users.", "mail.kinds."))
                       and one["path"] not in ("password",)]  # which would have everybody sign in
            self.assertGreater(len(options), 60)
            for one in options:
                answers, since = [], len(server.log.lines)
                for value in others:
                    if value != one["value"]:
                        try:
                            answers.append(client.execute_command("CONFIG", "SET", one["path"], value))
                        except redis.ResponseError as error:
                            answers.append(str(error))
                if one["reloadable"]:
                    client.execute_command("CONFIG", "SET", one["path"], one["value"] or "")
                with self.subTest(option=one["path"]):
                    if one["reloadable"]:
                        self.assertIn("OK", answers)
                        server.wait_for("option_changed", since)
                    else:
                        self.assertLessEqual({answer.split(" - ")[1] for answer in answers},
                                             {"can't set immutable config"})
            self.assertEqual(server.events("option_waits_for_restart"), [])

    def test_what_waits_for_a_restart_does_nothing_before_it(self):
        with Server(CONFIG + "loops: 2\nworkers: 5\n") as server, server.redis() as client:
            self.reload(server, CONFIG + "loops: 3\nworkers: 6\nhttp: {prefix: /elsewhere}\n"
                        "queue: {file: other.db, timeout: 50s}\nmail: {maildir: other}\n", "reloaded")
            self.assertEqual({event["option"] for event in server.events("option_waits_for_restart")},
                             {"loops", "workers", "http.prefix", "queue.file", "mail.maildir"})
            self.assertEqual({event["option"] for event in server.events("option_changed")}, {"queue.timeout"})
            info = client.info("server")
            self.assertEqual((info["io_threads_active"], info["worker_threads"]), (2, 5))
            self.assertEqual(server.http("GET", "/elsewhere/cache/stats")[0], 404)
            client.execute_command("FB.ENQUEUE", "default", "x")
            client.execute_command("FB.MAIL", "otp", "ada@example.org", "code", "042137")
            self.assertEqual(sorted(path.name for path in server.folder.glob("other*")), [])
            self.assertTrue((server.folder / "forebay-queue.db").exists())

    def test_reloads_under_load_lose_nothing(self):
        with Server() as server:
            failures, stop = [], threading.Event()

            def ask():
                with server.redis() as client:
                    while not stop.is_set():
                        try:
                            client.execute_command("FB.FETCH", "fruit", "name", "apple")
                        except redis.RedisError as error:
                            failures.append(error)
                            return

            threads = [threading.Thread(target=ask) for _ in range(4)]
            for thread in threads:
                thread.start()
            for turn in range(10):
                self.reload(server, CONFIG.replace("ttl: 1h", f"ttl: {turn + 1}h"), "reloaded")
            stop.set()
            for thread in threads:
                thread.join()
            self.assertEqual(failures, [])


# Sanitizers make the slow query slower than the usual ten seconds.
PATIENT = {"FOREBAY_DRAIN": "2m", "FOREBAY_CLASSES_SLOW_HARD_TIMEOUT": "2m"}


class Stopping(TestCase):
    def begin_slow(self, server, connection, request):
        """Sends it, and returns when the server has begun to load, or even answered before that was seen."""
        connection.sendall(request)
        while server.stats()["loads_running"] == 0 and not self.is_answered(connection):
            pass

    @staticmethod
    def is_answered(connection):
        return select.select([connection], [], [], 0)[0] != []

    def test_what_is_under_way_is_answered(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            with Server(env=PATIENT) as server, server.socket() as connection:
                self.begin_slow(server, connection, command("FB.FETCH", "slow", "rounds", SLOW_ROUNDS))
                server.send_signal(number)
                server.wait_for("stopping")
                self.assertEqual(json.loads(Replies(connection).next()), {"rounds": SLOW_ROUNDS})
                self.assertEqual(connection.recv(1), b"")
                self.assertEqual(server.wait(), 0)

    def test_what_is_under_way_over_http_is_answered(self):
        with Server(env=PATIENT) as server, server.socket(server.http_port) as connection:
            self.begin_slow(server, connection,
                            f"GET /v1/fetch/slow?rounds={SLOW_ROUNDS} HTTP/1.1\r\nHost: t\r\n\r\n".encode())
            server.send_signal(signal.SIGTERM)
            self.assertTrue(read_all(connection).endswith(b'{"rounds":%d}' % SLOW_ROUNDS))
            self.assertEqual(server.wait(), 0)

    def lets_in(self, server):
        """Whether a new connection is answered."""
        try:
            with server.socket() as late:
                late.sendall(command("PING"))
                return late.recv(10) != b""
        except OSError:
            return False

    def test_nobody_new_is_let_in_while_what_is_under_way_ends(self):
        rounds, early = 5 * SLOW_ROUNDS, True
        for _ in range(5):  # a machine that stood still while the source worked says nothing
            with Server(env=PATIENT) as server, server.socket() as connection:
                self.begin_slow(server, connection, command("FB.FETCH", "slow", "rounds", rounds))
                server.send_signal(signal.SIGTERM)
                server.wait_for("stopping")
                while self.lets_in(server):
                    pass
                early = self.is_answered(connection)
                self.assertEqual(json.loads(Replies(connection).next()), {"rounds": rounds})
            if not early:
                break
        self.assertFalse(early, "it was answered before the doors were shut")

    def test_under_load_every_reply_is_whole_and_right(self):
        with Server() as server:
            problems, begun = [], threading.Barrier(9)

            def work(number):
                # Sends in pipelines and reads until the server closes; replies must be those of the
                # commands, in order, and none may be cut.
                with server.socket() as connection:
                    replies, sent, read = Replies(connection), 0, 0
                    begun.wait(PATIENCE)
                    try:
                        while True:
                            connection.sendall(b"".join(
                                command("SET", f"key:{number}:{i}", i) + command("GET", f"key:{number}:{i}")
                                for i in range(sent, sent + 50)))
                            sent += 50
                            while read < sent:
                                pair = replies.next(), replies.next()
                                if pair != (b"OK", str(read).encode()):
                                    problems.append((number, read, pair))
                                    return
                                read += 1
                    except EOFError as end:
                        if end.args[0]:
                            problems.append((number, "cut", end.args[0]))
                    except OSError:
                        pass  # it could not be sent: never acknowledged

            threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
            for thread in threads:
                thread.start()
            begun.wait(PATIENCE)
            while server.stats()["sets"] < 500:
                pass
            server.send_signal(signal.SIGTERM)
            for thread in threads:
                thread.join(PATIENCE)
            self.assertEqual(server.wait(), 0)
            self.assertEqual(problems, [])

    def test_a_second_signal_does_not_wait(self):
        patient = {"FOREBAY_DRAIN": "1h", "FOREBAY_CLASSES_SLOW_HARD_TIMEOUT": "1h"}
        with Server(env=patient) as server, server.socket() as connection:
            self.begin_slow(server, connection, command("FB.FETCH", "slow", "rounds", 10 ** 15))
            server.send_signal(signal.SIGTERM)
            server.wait_for("stopping")
            server.send_signal(signal.SIGTERM)
            self.assertEqual(server.wait(), 0)

    def test_killed_and_started_again_it_answers_again(self):
        # Below those that outgoing connections take, or one of them might have it meanwhile.
        ports = free_port(), free_port()
        server = Server(ports=ports)
        self.addCleanup(server.remove)
        server.start()
        with server.redis() as client:
            client.set("a", "1")
        server.send_signal(signal.SIGKILL)
        self.assertEqual(server.wait(), -signal.SIGKILL)
        with Server(folder=server.folder, ports=ports) as again, again.redis() as client:
            self.assertEqual((again.resp_port, again.http_port), ports)
            self.assertIsNone(client.get("a"))
            self.assertEqual(again.get_json("/v1/fetch/fruit?name=apple")["price"], 1.5)


if __name__ == "__main__":
    main()
