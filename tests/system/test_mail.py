#!/usr/bin/python3
"""Mails from the daemon, through exim and through aiosmtpd, with STARTTLS and signing in, into Maildirs, as
Python's email module reads them."""

import json
import os
import pathlib
import re
import shutil
import tempfile
import time
import unittest

import redis

import mail_servers
from forebay import Server, TestCase, main
from mail_servers import PASSWORD, USER
from shared import until

CONFIG = """
queue: {{file: queue.db, timeout: 60s}}
queues:
  mail: {{concurrency: 4, lease: {lease}}}
mail:
  from: "Grain & Co. <no-reply@example.test>"
  reply_to: "Hélène <help@example.test>"
  product: Grain
  maildir: written
  pause: 1s
  relays:
{relays}
"""
RELAY = "    {name}: {{url: '{url}', user: {user}, password: '{password}', tls_ca: '{cert}', tls: {tls}}}\n"
# What each built-in kind is given, and what has to be read in its mail.
KINDS = {
    "otp": {"code": "042137", "minutes": "10"},
    "magic_link": {"link": "https://example.test/in?token=aB3-_x&next=%2Fhome", "minutes": "15"},
    "registration": {"name": "Ada Løvelace", "email": "new@example.test", "link": "https://example.test/admin?a=1&b=2"},
    "approved": {"name": "Ada Løvelace", "link": "https://example.test/start?a=1&b=2"},
}


def relay(name, server, **other):
    values = {"name": name, "url": server.url, "user": USER, "password": PASSWORD, "cert": server.cert,
              "tls": "required"}
    return RELAY.format(**{**values, **other})


def words(given):
    return [word for pair in given.items() for word in pair]


def text_of(message, kind):
    part = message.get_body(preferencelist=(kind,))
    return part.get_content() if part else ""


class Mailing(TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="forebay-test."))
        os.chmod(self.folder, 0o755)
        self.addCleanup(shutil.rmtree, self.folder, True)

    def scripted(self, name="peer", **options):
        server = mail_servers.Scripted(self.folder / name, **options).start()
        self.addCleanup(server.stop)
        return server

    def serve(self, *relays, more=""):
        # No stall is as long as the lease: a mail whose lease is over is sent again.
        return Server(CONFIG.format(relays="".join(relays), lease="60s") + more)

    def send(self, server, kind, to="Ada <ada@example.test>", **given):
        with server.redis() as client:
            return client.execute_command("FB.MAIL", kind, to, *words({**KINDS.get(kind, {}), **given}))

    def job(self, server, identity):
        status, _, body = server.http("GET", f"/v1/jobs/{identity}")
        return json.loads(body) if status == 200 else None

    def gone(self, server, identity):
        until(lambda: self.job(server, identity) is None, f"{identity} to be done")

    def held_back(self, server, identity):
        """Not sent, and it says why."""
        return until(lambda: (lambda one: one if one and one.get("progress") else None)(self.job(server, identity)),
                     f"{identity} to be held back")

    def dead(self, server, identity):
        def found():
            job = self.job(server, identity)
            return job if job and job["state"] == "dead" else None
        return until(found, f"{identity} to be dead")


class Arriving(Mailing):
    def check_kinds(self, peer, relay_line):
        with self.serve(relay_line) as server:
            identities = {kind: self.send(server, kind, to=f'"Ada, Countess" <{kind}@example.test>') for kind in KINDS}
            messages = {message["to"].addresses[0].username: message for message in peer.mails.wait(len(KINDS))}
            self.assertEqual(set(messages), set(KINDS))
            for kind, message in messages.items():
                with self.subTest(kind=kind):
                    self.check_message(kind, message)
                self.gone(server, identities[kind])
            self.assertEqual(len({message["message-id"] for message in messages.values()}), len(KINDS))
            self.assertEqual(len(peer.mails.paths()), len(KINDS))

    def check_message(self, kind, message):
        self.assertEqual(message["from"].addresses[0].addr_spec, "no-reply@example.test")
        self.assertEqual(message["from"].addresses[0].display_name, "Grain & Co.")
        self.assertEqual(message["reply-to"].addresses[0].display_name, "Hélène")
        self.assertEqual(message["to"].addresses[0].display_name, "Ada, Countess")
        self.assertRegex(message["message-id"], r"\A<[^<>@\s]+@[^<>@\s]+>\Z")
        self.assertEqual(message["mime-version"], "1.0")
        self.assertLess(abs(message["date"].datetime.timestamp() - time.time()), 3600)
        self.assertEqual(message.get_content_type(), "multipart/alternative")
        self.assertIn("Grain", message["subject"] + text_of(message, "plain"))
        text, html = text_of(message, "plain"), text_of(message, "html")
        for name, value in KINDS[kind].items():
            if name in ("code", "link"):
                self.assertIn(value, text)
                self.assertIn(value.replace("&", "&amp;"), html)
        self.assertNotIn("{{", text + html)

    @unittest.skipUnless(mail_servers.HAS_EXIM, "no exim here, or not root")
    def test_all_kinds_arrive_through_exim(self):
        with mail_servers.Exim() as peer:
            self.check_kinds(peer, relay("main", peer))

    def test_all_kinds_arrive_through_aiosmtpd(self):
        peer = self.scripted()
        self.check_kinds(peer, relay("main", peer))
        self.assertEqual({signed for _, _, signed in peer.seen}, {USER})

    def test_many_arrive_each_once(self):
        peer = self.scripted()
        with self.serve(relay("main", peer)) as server:
            for number in range(50):
                self.send(server, "otp", code=f"{number:06}")
            messages = peer.mails.wait(50)
            codes = sorted(re.search(r"\b\d{6}\b", text_of(message, "plain"))[0] for message in messages)
            self.assertEqual(codes, [f"{number:06}" for number in range(50)])


class Hostile(Mailing):
    def test_what_must_not_be_in_a_mail_is_refused_and_nothing_is_sent(self):
        peer = self.scripted()
        with self.serve(relay("main", peer)) as server:
            wrong = [
                ({"to": "ada@example.test\r\nBcc: all@example.test"}, "byte"),
                ({"to": "ada@example.test\nBcc: all@example.test"}, "byte"),
                ({"to": "ada@example.test, bob@example.test"}, "address"),
                ({"to": "no-address"}, "address|@"),
                ({"to": "ada@example.test\0"}, "byte"),
                ({"code": "1\r\n.\r\nMAIL FROM:<x@y>"}, "code"),
                ({"code": "1\x7f"}, "code"),
                ({"code": b"\xff\xfe"}, "code"),
            ]
            for given, said in wrong:
                with self.subTest(given=given), self.assertRaisesRegex(redis.ResponseError, said):
                    self.send(server, "otp", **given)
            with server.redis() as client:
                with self.assertRaisesRegex(redis.ResponseError, "code"):
                    client.execute_command("FB.MAIL", "otp", "ada@example.test", "minutes", "10")
                with self.assertRaisesRegex(redis.ResponseError, "postcard"):
                    client.execute_command("FB.MAIL", "postcard", "ada@example.test")
            # One that is right is the only one that comes.
            self.send(server, "otp")
            peer.mails.wait(1)
            self.assertEqual(len(peer.seen), 1)

    def test_unusual_words_arrive_as_they_were_written(self):
        peer = self.scripted()
        name = 'Åse "Q" \\ <b>Ødegård</b> & 日本語 ' + "😀" * 20
        link = "https://example.test/" + "x" * 1500
        with self.serve(relay("main", peer)) as server:
            self.send(server, "approved", name=name, link=link)
            message = peer.mails.wait(1)[0]
            text = text_of(message, "plain")
            self.assertIn(name, text)
            self.assertIn(link, text)
            self.assertIn("&lt;b&gt;Ødegård&lt;/b&gt; &amp; 日本語", text_of(message, "html"))
            for line in peer.mails.paths()[0].read_bytes().splitlines():
                self.assertLessEqual(len(line), 998)

    def test_a_dot_alone_on_its_line_does_not_end_the_mail(self):
        peer = self.scripted()
        with self.serve(relay("main", peer)) as server:
            self.send(server, "approved", name=".\n.\nQUIT\n..x")
            text = text_of(peer.mails.wait(1)[0], "plain")
            self.assertIn(".\n.\nQUIT\n..x", text.replace("\r\n", "\n"))


class Trouble(Mailing):
    def test_another_relay_takes_over(self):
        good = self.scripted("good")
        bad = self.scripted("bad")
        bad.stop()
        with self.serve(relay("first", bad), relay("second", good)) as server:
            identity = self.send(server, "otp")
            good.mails.wait(1)
            self.gone(server, identity)

    def test_a_relay_that_refuses_to_sign_in_burns_no_attempts(self):
        peer = self.scripted()
        with self.serve(relay("main", peer, password="wrong")) as server:
            identity = self.send(server, "otp")
            job = self.held_back(server, identity)
            self.assertIn(job["state"], ("scheduled", "ready", "leased"))
            self.assertLessEqual(job["attempt"], 1)
            self.assertNotIn(PASSWORD, "\n".join(server.log.lines))
            self.assertNotIn("wrong", json.dumps(job))

    def test_mails_wait_for_a_relay_that_is_away(self):
        peer = self.scripted()
        peer.stop()
        with self.serve(relay("main", peer)) as server:
            identities = [self.send(server, "registration") for _ in range(5)]
            self.held_back(server, identities[0])
            peer.start()
            peer.mails.wait(5)
            for identity in identities:
                self.gone(server, identity)
            self.assertEqual(len(peer.seen), 5)

    def test_an_unknown_recipient_is_dead_and_not_written_to_again(self):
        peer = self.scripted()
        peer.answers["gone@example.test"] = "550 5.1.1 no such user"
        with self.serve(relay("main", peer)) as server:
            identity = self.send(server, "otp", to="gone@example.test")
            job = self.dead(server, identity)
            self.assertIn("no such user", job["error"])
            self.assertNotIn("042137", json.dumps(job))
            with self.assertRaisesRegex(redis.ResponseError, "suppressed"):
                self.send(server, "otp", to="Gone <gone@EXAMPLE.test>")
            self.send(server, "otp", to="here@example.test")
            peer.mails.wait(1)

    def test_for_now_is_tried_again(self):
        peer = self.scripted()
        peer.answers["slow@example.test"] = "451 4.3.0 come back later"
        with self.serve(relay("main", peer)) as server:
            identity = self.send(server, "registration", to="slow@example.test")

            def found():
                job = self.job(server, identity)
                return job if job and job.get("error") and job["state"] == "scheduled" else None
            job = until(found, "a failure, and another try to come")
            self.assertIn("come back later", job["error"])
            del peer.answers["slow@example.test"]
            status, _, body = server.http("POST", f"/v1/jobs/{identity}/retry")
            self.assertLess(status, 300, body)
            peer.mails.wait(1)

    def test_a_relay_without_tls_is_not_used(self):
        peer = self.scripted(tls=False, auth=False)
        with self.serve(relay("main", peer)) as server:
            identity = self.send(server, "otp")
            self.held_back(server, identity)
            self.assertEqual(peer.seen, [])

    def test_without_a_relay_mails_are_written_down_and_a_warning_says_so(self):
        with Server("queue: {file: queue.db}\nmail: {maildir: written, from: 'a@example.test'}\n") as server:
            identity = self.send(server, "otp")
            message = mail_servers.Mails(server.folder / "written").wait(1)[0]
            self.assertIn("042137", text_of(message, "plain"))
            self.gone(server, identity)
            server.log.wait(lambda line: "maildir" in line and '"warn' in line)

    def test_what_was_accepted_is_sent_after_a_crash(self):
        peer = self.scripted()
        peer.stop()
        folder = self.folder / "home"
        folder.mkdir()
        config = CONFIG.format(relays=relay("main", peer), lease="5s")
        first = Server(config, folder=folder)
        first.start()
        try:
            for number in range(10):
                self.send(first, "registration", to=f"user{number}@example.test")
        finally:
            first.process.kill()
            first.wait()
        peer.start()
        everybody = {f"user{number}@example.test" for number in range(10)}
        with Server(config, folder=folder) as second:
            until(lambda: {to[0] for _, to, _ in peer.seen} == everybody, "a mail to everybody")
            with second.redis() as client:
                until(lambda: not client.execute_command("FB.QUEUE", "mail", "LIST", "scheduled"), "an empty queue")
        self.assertEqual({to[0] for _, to, _ in peer.seen}, everybody)

    def test_codes_are_in_no_log(self):
        peer = self.scripted()
        with self.serve(relay("main", peer), more="log: {level: debug}\n") as server:
            self.send(server, "otp", code="918273")
            self.send(server, "magic_link", link="https://example.test/in?token=verysecret")
            peer.mails.wait(2)
            log = "\n".join(server.log.lines)
            self.assertNotIn("918273", log)
            self.assertNotIn("verysecret", log)


if __name__ == "__main__":
    main()
