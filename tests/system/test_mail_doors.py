#!/usr/bin/python3
"""Mails through every door: accepted, looked at, refused; what is secret in them is shown by none. They arrive in a
Maildir; relays are test_mail.py's."""

import email
import email.policy
import json
import pathlib
import shutil
import tempfile

import redis

import mail_servers
from forebay import Server, TestCase, main, run
from shared import until

CONFIG = """
queue: {file: queue.db, timeout: 60s}
mail: {maildir: written, from: "Grain <no-reply@example.test>", product: Grain}
"""
OTP = ("code", "042137", "minutes", "10")


class Mails(TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server(CONFIG).start()
        cls.addClassCleanup(cls.end)
        cls.client = cls.server.redis()
        cls.addClassCleanup(cls.client.close)
        cls.box = mail_servers.Mails(cls.server.folder / "written")

    @classmethod
    def end(cls):
        status = cls.server.stop()
        cls.server.remove()
        assert status == 0, f"ended with {status}:\n" + "\n".join(cls.server.log.lines)

    def ask(self, *words):
        return self.client.execute_command(*words)

    def refused(self, words, *commands):
        for one in commands:
            with self.subTest(command=one):
                with self.assertRaisesRegex(redis.ResponseError, words):
                    self.ask(*one)

    def http(self, method, path, body=None):
        status, headers, said = self.server.http(method, path, body if body is None else json.dumps(body))
        return status, json.loads(said) if "json" in headers.get("Content-Type", "") else said

    def cli(self, *words, status=0):
        done = self.server.cli("mail", *words)
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        return done.stdout

    def arrived(self, address):
        """The message to it, once it is there."""
        def found():
            return next((one for one in map(mail_servers.parse, self.box.paths()) if one["to"].addresses[0].addr_spec == address), None)
        return until(found, f"a mail to {address}")

    def test_every_door_sends(self):
        identity = self.ask("FB.MAIL", "otp", "resp@example.test", *OTP)
        self.assertRegex(identity, r"\Amail\.\d+\Z")
        status, said = self.http("POST", "/v1/mail/otp", {"to": "http@example.test", "vars": {"code": "042137", "minutes": 10}})
        self.assertEqual((status, said["new"]), (202, True))
        self.assertRegex(self.cli("send", "otp", "cli@example.test", "code=042137", "minutes=10"), r"\Amail\.\d+\n\Z")
        for door in ("resp", "http", "cli"):
            message = self.arrived(f"{door}@example.test")
            self.assertIn("042137", message.get_body(preferencelist=("plain",)).get_content())

    def test_what_is_secret_is_shown_by_no_door(self):
        self.ask("FB.QUEUE", "mail", "PAUSE")
        try:
            code = self.ask("FB.MAIL", "otp", "a@example.test", "code", "918273", "minutes", "10")
            link = self.ask("FB.MAIL", "magic_link", "a@example.test", "link", "https://x.test/?t=verysecret", "minutes", "15")
            for identity in (code, link):
                shown = str(self.ask("FB.JOB", identity)) + str(self.http("GET", f"/v1/jobs/{identity}")) + \
                    self.server.cli("jobs", "show", identity).stdout
                self.assertIn("hidden", shown)
                self.assertNotIn("918273", shown)
                self.assertNotIn("verysecret", shown)
                self.assertIn("a@example.test", shown)
        finally:
            self.ask("FB.QUEUE", "mail", "RESUME")
        plain = self.ask("FB.ENQUEUE", "default", '{"code":"918273"}')
        self.assertIn("918273", str(self.ask("FB.JOB", plain)))  # others' codes are theirs

    def test_a_mail_that_was_asked_for_twice_is_sent_once(self):
        self.ask("FB.QUEUE", "mail", "PAUSE")
        try:
            first = self.ask("FB.MAIL", "UNIQ", "once", "DELAY", 5, "EXPIRES", 600000, "otp", "once@example.test", *OTP)
            self.assertEqual(self.ask("FB.MAIL", "UNIQ", "once", "otp", "once@example.test", *OTP), first)
            status, said = self.http("POST", "/v1/mail/otp", {"to": "once@example.test", "unique": "once",
                                                              "vars": {"code": "1", "minutes": "1"}})
            self.assertEqual((status, said), (200, {"id": first, "new": False}))
        finally:
            self.ask("FB.QUEUE", "mail", "RESUME")
        self.arrived("once@example.test")

    def test_a_preview_is_the_message(self):
        said = self.ask("FB.PREVIEW", "otp", "Ada <ada@example.test>", *OTP)
        status, body = self.http("POST", "/v1/mail/otp/preview", {"to": "Ada <ada@example.test>",
                                                                 "vars": {"code": "042137", "minutes": "10"}})
        self.assertEqual(status, 200)
        shown = self.cli("preview", "otp", "Ada <ada@example.test>", "code=042137", "minutes=10")
        for text in (said, body.decode(), shown):
            message = email.message_from_string(text, policy=email.policy.default)
            self.assertEqual(message["to"].addresses[0].addr_spec, "ada@example.test")
            self.assertEqual(message["from"].addresses[0].display_name, "Grain")
            self.assertIn("042137", message.get_body(preferencelist=("plain",)).get_content())
        self.assertNotIn("\r", shown)

    def test_a_preview_by_a_configuration_alone(self):
        file = self.server.folder / "alone.yaml"
        file.write_text('mail: {from: "Alone <alone@example.test>"}\n')
        done = run("mail", "preview", "otp", "ada@example.test", "code=042137", "minutes=10", "--config", file)
        self.assertEqual(done.returncode, 0, done.stderr)
        message = email.message_from_string(done.stdout, policy=email.policy.default)
        self.assertEqual(message["from"].addresses[0].display_name, "Alone")
        for words, wrong in (("code", ["otp", "a@example.test", "minutes=10"]), ("postcard", ["postcard", "a@example.test"]),
                             ("NAME=VALUE", ["otp", "a@example.test", "code"])):
            done = run("mail", "preview", *wrong, "--config", file)
            self.assertEqual(done.returncode, 2, done.stdout)
            self.assertIn(words, done.stderr)

    def test_a_test_says_what_it_found(self):
        peer = mail_servers.Scripted(self.server.folder / "peer").start()
        self.addCleanup(peer.stop)
        file = self.server.folder / "test.yaml"
        relay = f"user: {mail_servers.USER}, password: '{{}}', tls_ca: '{peer.cert}'"
        file.write_text(f"mail: {{relays: {{good: {{url: '{peer.url}', {relay.format(mail_servers.PASSWORD)}}},"
                        f" bad: {{url: '{peer.url}', {relay.format('wrong')}}}}}}}\n")
        done = run("mail", "test", "good", "--config", file)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertRegex(done.stdout, r"\Aok +good: ")
        self.assertEqual(peer.seen, [])
        done = run("mail", "test", "--config", file)
        self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
        self.assertRegex(done.stdout, r"(?m)^FAIL +bad: ")
        self.assertNotIn("wrong", done.stdout + done.stderr)
        for wrong in (["nosuch", "--config", file], ["--config", "/nosuch.yaml"], ["--set", "mail.from=nobody"]):
            self.assertEqual(run("mail", "test", *wrong).returncode, 2)
        done = run("mail", "test", cwd=self.server.folder, env={"FOREBAY_CONFIG": str(self.server.file)})
        self.assertEqual(done.returncode, 0)
        self.assertIn("Maildir", done.stdout)

    def test_kinds_and_relays_are_told(self):
        said = self.http("GET", "/v1/mail")[1]
        self.assertLessEqual({"otp", "magic_link", "registration", "approved"}, {one["kind"] for one in said["kinds"]})
        self.assertEqual(said["relays"][0]["relay"], "maildir")
        self.assertIn("otp", str(self.ask("FB.MAILS")))
        self.assertIn('forebay_mail_relay_up{relay="maildir"} 1', self.server.http("GET", "/metrics")[2].decode())

    def test_addresses_that_are_not_suppressed(self):
        self.assertIsNone(self.ask("FB.SUPPRESSED", "a@example.test"))
        self.assertEqual(self.ask("FB.SUPPRESSED", "a@example.test", "REMOVE"), 0)
        self.assertEqual(self.http("GET", "/v1/mail/suppressed/a@example.test")[0], 404)
        self.assertEqual(self.http("DELETE", "/v1/mail/suppressed/a@example.test")[0], 404)
        self.refused("syntax", ("FB.SUPPRESSED", "a@example.test", "EXPLODE"))

    def test_who_is_wrong_is_told(self):
        self.refused("NOMAIL", ("FB.MAIL", "postcard", "a@example.test"), ("FB.PREVIEW", "postcard", "a@example.test"))
        self.refused("code", ("FB.MAIL", "otp", "a@example.test", "minutes", "10"), ("FB.PREVIEW", "otp", "a@example.test"))
        self.refused(".", ("FB.MAIL", "otp", "nobody", *OTP), ("FB.MAIL", "otp", "a@example.test\r\nBcc: b@example.test", *OTP))
        self.refused(".", ("FB.MAIL", "otp", "a@example.test", "code", "0\r\n.\r\n1", "minutes", "10"))
        self.refused("has no value", ("FB.MAIL", "otp", "a@example.test", "code"))
        self.refused("wrong number", ("FB.MAIL", "otp"), ("FB.MAIL", "UNIQ", "x", "otp"), ("FB.PREVIEW", "otp"))
        self.refused("DELAY needs", ("FB.MAIL", "DELAY", "x", "otp", "a@example.test", *OTP))
        self.refused("EXPIRES needs", ("FB.MAIL", "EXPIRES", 0, "otp", "a@example.test", *OTP))
        self.refused("at most 64", ("FB.MAIL", "otp", "a@example.test", *[f"v{n}" for n in range(130)]))
        for status, words, path, body in (
                (404, "postcard", "postcard", {"to": "a@example.test"}),
                (400, "code", "otp", {"to": "a@example.test", "vars": {"minutes": "10"}}),
                (400, "to: it is missing", "otp", {"vars": {}}),
                (400, "unknown here", "otp", {"to": "a@example.test", "subject": "x"}),
                (400, "vars: expected an object", "otp", {"to": "a@example.test", "vars": []}),
                (400, "vars.code", "otp", {"to": "a@example.test", "vars": {"code": None}}),
                (400, "at most 64", "otp", {"to": "a@example.test", "vars": {f"v{n}": "" for n in range(65)}}),
                (400, "unknown here", "otp/preview", {"to": "a@example.test", "delay_ms": 5}),
                (404, "postcard", "postcard/preview", {"to": "a@example.test"})):
            with self.subTest(path=path, body=body):
                got, said = self.http("POST", f"/v1/mail/{path}", body)
                self.assertEqual(got, status, said)
                self.assertIn(words, said["detail"])
        self.cli("send", "otp", "a@example.test", "code", status=2)
        self.cli("send", "otp", "a@example.test", status=4)
        self.cli("send", "otp", status=2)
        self.cli("send", "otp", "a@example.test", "--delay", "soon", status=2)
        self.cli("explode", status=2)
        self.assertIn("preview KIND ADDRESS", run("help", "mail").stdout)


if __name__ == "__main__":
    main()
