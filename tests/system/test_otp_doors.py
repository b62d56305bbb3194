#!/usr/bin/python3
"""One-time codes and magic links through the doors: issued, mailed, verified once, guessed at; and a page for links
that needs no script. What is secret is in the mail and nowhere else."""

import http.client
import json
import re
import threading

import redis

import mail_servers
from forebay import PATIENCE, Server, TestCase, main
from shared import until

CONFIG = """
queue: {file: queue.db, timeout: 60s}
mail: {maildir: written, from: "Grain <no-reply@example.test>", product: Grain}
otp: {secret: "a secret of this test, of forty-two letters", link_url: "https://app.example.test/in/{token}"}
log: {level: debug}
"""


class Codes(TestCase):
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
        said = self.client.execute_command(*words)
        return dict(zip(said[::2], said[1::2])) if isinstance(said, list) else said

    def refused(self, words, *commands):
        for one in commands:
            with self.subTest(command=one):
                with self.assertRaisesRegex(redis.ResponseError, words):
                    self.ask(*one)

    def http(self, method, path, body=None, **headers):
        status, got, said = self.server.http(method, path, body if body is None else json.dumps(body), headers)
        return status, json.loads(said) if "json" in got.get("Content-Type", "") else said.decode()

    def mailed(self, address):
        def found():
            return next((one for one in map(mail_servers.parse, self.box.paths()) if one["to"].addresses[0].addr_spec == address), None)
        return until(found, f"a mail to {address}").get_body(preferencelist=("plain",)).get_content()

    def code(self, address):
        return re.search(r"\b\d{6}\b", self.mailed(address))[0]

    def token(self, address):
        return re.search(r"https://app\.example\.test/in/([\w-]+)", self.mailed(address))[1]

    def other(self, code):
        return f"{(int(code) + 1) % 1000000:06}"

    # ---- codes

    def test_a_code_is_good_once(self):
        said = self.ask("FB.OTP", "ISSUE", "once@example.test")
        self.assertEqual((said["issued"], said["expires_ms"], said["retry_ms"]), (1, 600000, 0))
        code = self.code("once@example.test")
        said = self.ask("FB.OTP", "VERIFY", "once@example.test", code)
        self.assertEqual((said["verified"], said["account"]), (1, "once@example.test"))
        said = self.ask("FB.OTP", "VERIFY", "CODE", "once@example.test", code)
        self.assertEqual((said["verified"], said["account"]), (0, ""))

    def test_guesses_are_counted(self):
        self.ask("FB.OTP", "ISSUE", "CODE", "TO", "guess@example.test", "ADDRESS", "203.0.113.7", "ACCOUNT", "guess")
        wrong = self.other(self.code("guess@example.test"))
        left = [self.ask("FB.OTP", "VERIFY", "guess", wrong)["attempts_left"] for _ in range(4)]
        self.assertEqual(left, [4, 3, 2, 1])
        self.ask("FB.OTP", "VERIFY", "guess", wrong)
        said = self.ask("FB.OTP", "VERIFY", "guess", self.code("guess@example.test"))
        self.assertEqual(said["verified"], 0)

    def test_many_guesses_at_once_are_no_more(self):
        self.http("POST", "/v1/otp/issue", {"account": "crowd", "to": "crowd@example.test"})
        code = int(self.code("crowd@example.test"))
        verified, lock = [], threading.Lock()

        def guess(number):
            with self.server.redis() as client:
                said = client.execute_command("FB.OTP", "VERIFY", "crowd", f"{(code + 1 + number) % 1000000:06}")
                with lock:
                    verified.append(dict(zip(said[::2], said[1::2])))
        threads = [threading.Thread(target=guess, args=(number,)) for number in range(100)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
        self.assertEqual(sum(one["verified"] for one in verified), 0)
        self.assertEqual(sum(1 for one in verified if one["attempts_left"] > 0), 4)
        self.assertEqual(self.ask("FB.OTP", "VERIFY", "crowd", f"{code:06}")["verified"], 0)

    def test_another_one_too_soon_has_to_wait(self):
        self.ask("FB.OTP", "ISSUE", "soon@example.test")
        said = self.ask("FB.OTP", "ISSUE", "soon@example.test")
        self.assertEqual(said["issued"], 0)
        self.assertTrue(0 < said["retry_ms"] <= 30000)
        status, headers, body = self.server.http("POST", "/v1/otp/issue", json.dumps({"account": "soon@example.test"}))
        self.assertEqual(status, 429, body)
        self.assertTrue(0 < int(headers["Retry-After"]) <= 31)

    def test_an_account_that_there_is_not_is_answered_the_same(self):
        known = self.server.http("POST", "/v1/otp/issue", json.dumps({"account": "known@example.test"}))
        unknown = self.server.http("POST", "/v1/otp/issue", json.dumps({"account": "unknown@example.test", "known": False}))
        self.assertEqual((known[0], known[2]), (unknown[0], unknown[2]))
        self.assertEqual({name for name in known[1]} - {"Date"}, {name for name in unknown[1]} - {"Date"})
        one, other = (self.http("POST", "/v1/otp/verify", {"account": account, "code": "000000"})
                      for account in ("known@example.test", "unknown@example.test"))
        self.assertEqual(one, other)
        self.mailed("known@example.test")
        self.assertEqual(self.ask("FB.OTP", "ISSUE", "UNKNOWN", "nobody@example.test")["issued"], 1)
        self.assertFalse([one for one in map(mail_servers.parse, self.box.paths())
                          if one["to"].addresses[0].addr_spec in ("unknown@example.test", "nobody@example.test")])

    def test_http_codes(self):
        status, said = self.http("POST", "/v1/otp/issue", {"account": "web", "to": "web@example.test", "form": "code",
                                                           "address": "203.0.113.9"})
        self.assertEqual((status, said), (202, {"issued": True, "expires_ms": 600000}))
        code = self.code("web@example.test")
        self.assertEqual(self.http("POST", "/v1/otp/verify", {"account": "web", "code": self.other(code)}),
                         (200, {"verified": False, "attempts_left": 4}))
        self.assertEqual(self.http("POST", "/v1/otp/verify", {"account": "web", "code": code}),
                         (200, {"verified": True, "account": "web"}))

    # ---- links

    def test_a_link_is_opened_by_a_button(self):
        status, said = self.http("POST", "/v1/otp/issue", {"account": "ada", "to": "link@example.test", "form": "link"})
        self.assertEqual((status, said["expires_ms"]), (202, 900000))
        path = "/v1/otp/link/" + self.token("link@example.test")
        for _ in range(3):  # scanners of mails open it, too
            status, headers, body = self.server.http("GET", path)
            self.assertEqual(status, 200)
        page = body.decode()
        self.assertEqual(headers["Cache-Control"], "no-store")
        self.assertEqual(headers["Referrer-Policy"], "no-referrer")
        self.assertIn("noindex", headers["X-Robots-Tag"])
        self.assertIn("default-src 'none'", headers["Content-Security-Policy"])
        self.assertIn("text/html", headers["Content-Type"])
        self.assertIn('<form method="post">', page)
        self.assertNotIn("<script", page)
        self.assertNotIn(path.rsplit("/", 1)[1], page)
        status, body = self.http("POST", path, Accept="text/html,application/xhtml+xml,*/*;q=0.8")
        self.assertEqual(status, 200)
        self.assertIn("signed in", body)
        status, body = self.http("POST", path, Accept="text/html")
        self.assertEqual(status, 404)
        self.assertIn("no longer good", body)
        self.assertEqual(self.server.http("GET", path)[0], 404)

    def test_programs_get_json_of_a_link(self):
        self.ask("FB.OTP", "ISSUE", "LINK", "TO", "json@example.test", "json")
        token = self.token("json@example.test")
        self.assertEqual(self.client.execute_command("FB.OTP", "PEEK", token), 1)
        self.assertEqual(self.http("POST", f"/v1/otp/link/{token}"), (200, {"verified": True, "account": "json"}))
        self.assertEqual(self.client.execute_command("FB.OTP", "PEEK", token), 0)
        status, said = self.http("POST", f"/v1/otp/link/{token}", Accept="application/json")
        self.assertEqual((status, said["verified"]), (200, False))
        self.assertEqual(self.http("POST", "/v1/otp/verify", {"token": token})[1]["verified"], False)
        self.ask("FB.OTP", "ISSUE", "LINK", "TO", "again@example.test", "again")
        said = self.ask("FB.OTP", "VERIFY", "LINK", self.token("again@example.test"))
        self.assertEqual((said["verified"], said["account"]), (1, "again"))

    def test_tokens_that_are_none(self):
        for token in ("x", "a" * 43, "a" * 4000, "%00", "..%2f..", "%ff"):
            with self.subTest(token=token):
                self.assertEqual(self.server.http("GET", f"/v1/otp/link/{token}")[0], 404)
                status, said = self.http("POST", f"/v1/otp/link/{token}")
                self.assertIn(status, (200, 400), said)
                self.assertFalse(said.get("verified"))

    # ---- secrets, mistakes

    def test_what_is_secret_is_shown_nowhere(self):
        self.ask("FB.QUEUE", "mail", "PAUSE")
        try:
            self.ask("FB.OTP", "ISSUE", "hidden@example.test")
            self.ask("FB.OTP", "ISSUE", "LINK", "TO", "hidden-link@example.test", "hidden-link")
            waiting = self.client.execute_command("FB.QUEUE", "mail", "LIST", "ready", "COUNT", 1000)
            names = [dict(zip(one[::2], one[1::2]))["id"] for one in waiting]
            shown = "".join(str(self.client.execute_command("FB.JOB", name)) + str(self.http("GET", f"/v1/jobs/{name}"))
                            for name in names)
            self.assertIn("hidden@example.test", shown)
            self.assertIn("hidden-link@example.test", shown)
        finally:
            self.ask("FB.QUEUE", "mail", "RESUME")
        code, token = self.code("hidden@example.test"), self.token("hidden-link@example.test")
        log = "\n".join(self.server.log.lines)
        # Six digits also happen to be part of a time: what is meant stands alone.
        for secret in (rf"(?<![\d.]){code}(?!\d)", re.escape(token)):
            self.assertNotRegex(shown, secret)
            self.assertNotRegex(log, secret)

    def test_who_is_wrong_is_told(self):
        self.refused("wrong number", ("FB.OTP",), ("FB.OTP", "ISSUE"), ("FB.OTP", "PEEK"), ("FB.OTP", "VERIFY", "x"))
        self.refused("expected", ("FB.OTP", "VERIFY", "a", "b", "c"), ("FB.OTP", "VERIFY", "LINK", "a", "b"))
        self.refused("has no value", ("FB.OTP", "ISSUE", "a@example.test", "name"))
        self.refused("unknown subcommand", ("FB.OTP", "GUESS"))
        self.refused(".", ("FB.OTP", "ISSUE", "no address"))
        for words, path, body in (
                ("account: it is missing", "issue", {}),
                ("form: expected code or link", "issue", {"account": "a@example.test", "form": "letter"}),
                ("known: expected true", "issue", {"account": "a@example.test", "known": "yes"}),
                ("unknown here", "issue", {"account": "a@example.test", "colour": "red"}),
                ("expected account and code, or token", "verify", {}),
                ("expected account and code, or token", "verify", {"account": "a"}),
                ("expected account and code, or token", "verify", {"account": "a", "code": "1", "token": "x"}),
                ("no JSON object", "verify", "x")):
            with self.subTest(path=path, body=body):
                status, said = self.http("POST", f"/v1/otp/{path}", body)
                self.assertEqual(status, 400, said)
                self.assertRegex(said["detail"], words + "|no object")

    def test_requests_that_wait_do_not_hold_up_others(self):
        web = [http.client.HTTPConnection("127.0.0.1", self.server.http_port, timeout=PATIENCE) for _ in range(20)]
        for number, one in enumerate(web):
            one.request("POST", "/v1/otp/issue", json.dumps({"account": f"many{number}", "to": f"many{number}@example.test"}))
        self.assertTrue(self.client.ping())
        for one in web:
            self.assertEqual(one.getresponse().status, 202)
            one.close()


if __name__ == "__main__":
    main()
