#!/usr/bin/python3
"""Many who ask for the same slow thing at once: the source is asked once."""

import json
import socket

from forebay import PATIENCE, SLOW_ROUNDS, Replies, Server, TestCase, command, main, read_all

CLIENTS = 200


class Flights(TestCase):
    def open_all(self, server, port):
        connections = [server.socket(port) for _ in range(CLIENTS)]
        for connection in connections:
            self.addCleanup(connection.close)
        return connections

    def check_counted(self, server):
        slow = server.stats("slow")
        self.assertEqual(slow["loads"], 1, slow)
        self.assertEqual(slow["hits"] + slow["misses"], CLIENTS)
        self.assertEqual(slow["errors"], 0)

    def test_two_hundred_over_resp_are_one_query(self):
        with Server() as server:
            connections = self.open_all(server, server.resp_port)
            for connection in connections:
                connection.sendall(command("FB.FETCH", "slow", "rounds", SLOW_ROUNDS))
            answers = [Replies(connection).next() for connection in connections]
            self.assertEqual({json.loads(answer)["rounds"] for answer in answers}, {SLOW_ROUNDS})
            self.check_counted(server)

    def test_two_hundred_over_http_are_one_query(self):
        with Server() as server:
            connections = self.open_all(server, server.http_port)
            request = f"GET /v1/fetch/slow?rounds={SLOW_ROUNDS} HTTP/1.1\r\nHost: test\r\n" \
                      "Connection: close\r\n\r\n"
            for connection in connections:
                connection.sendall(request.encode())
            answers = [read_all(connection) for connection in connections]
            for answer in answers:
                head, _, body = answer.partition(b"\r\n\r\n")
                self.assertEqual(head.split(b" ")[1], b"200", head)
                self.assertEqual(json.loads(body), {"rounds": SLOW_ROUNDS})
            self.check_counted(server)

    def test_a_hundred_over_each_are_one_query(self):
        with Server() as server:
            over_resp = self.open_all(server, server.resp_port)[:CLIENTS // 2]
            over_http = self.open_all(server, server.http_port)[:CLIENTS // 2]
            request = f"GET /v1/fetch/slow?rounds={SLOW_ROUNDS} HTTP/1.0\r\n\r\n".encode()
            for one, other in zip(over_resp, over_http):
                one.sendall(command("FB.FETCH", "slow", "rounds", SLOW_ROUNDS))
                other.sendall(request)
            answers = [Replies(connection).next() for connection in over_resp]
            answers += [read_all(connection).partition(b"\r\n\r\n")[2] for connection in over_http]
            self.assertEqual(set(answers), {b'{"rounds":%d}' % SLOW_ROUNDS})
            self.check_counted(server)

    def test_a_pipeline_of_fetches_is_loaded_at_once_and_answered_in_order(self):
        with Server() as server, server.socket() as connection:
            rounds = [SLOW_ROUNDS // 10 + 7, 5, 3, 5, 1]
            connection.sendall(b"".join(command("FB.FETCH", "slow", "rounds", n) for n in rounds))
            replies = Replies(connection)
            self.assertEqual([json.loads(replies.next())["rounds"] for _ in rounds], rounds)
            self.assertEqual(server.stats("slow")["loads"], 4)

    def test_who_hangs_up_is_not_waited_for_and_the_others_are_answered(self):
        with Server() as server:
            stays = server.socket()
            self.addCleanup(stays.close)
            for _ in range(20):
                with server.socket() as leaves:
                    leaves.sendall(command("FB.FETCH", "slow", "rounds", SLOW_ROUNDS))
                    leaves.shutdown(socket.SHUT_WR)
            stays.sendall(command("FB.FETCH", "slow", "rounds", SLOW_ROUNDS))
            stays.settimeout(PATIENCE)
            self.assertEqual(json.loads(Replies(stays).next()), {"rounds": SLOW_ROUNDS})
            self.assertEqual(server.stats("slow")["loads"], 1)


if __name__ == "__main__":
    main()
