#!/usr/bin/python3
"""`forebay bench load` from outside: what it prints, and that Ctrl-C keeps what there is."""

import json
import signal
import subprocess

from forebay import CONFIG, PATIENCE, PROGRAM, Server, TestCase, clean_environment, main, run

CONFIG_TOO = CONFIG + "limits: {api: {limit: 1000000, window: 1h}}\nqueue: {file: queue.db}\nqueues: {work: {}}\n"


class BenchLoadTest(TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server(CONFIG_TOO).start()

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()
        cls.server.remove()

    def load(self, *words):
        done = self.server.cli("bench", "load", "--warmup", "0", "--timeout", "120s", *words)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done

    def test_json_adds_up(self):
        done = json.loads(self.load("--rate", "2000", "--duration", "500ms", "--fill", "--keys", "100",
                                    "--get-ratio", "0.75", "--arrivals", "even", "--json").stdout)
        self.assertEqual(done["due"], 1000)
        self.assertEqual(done["due"], done["answered"] + done["unsent"] + done["unanswered"])
        self.assertEqual(done["latency"]["count"], 1000)
        self.assertEqual(done["misses"], 0)
        self.assertEqual(done["hits"], done["requests"][0]["answered"])
        self.assertEqual(done["errors"], {})
        latency = [done["latency"][name] for name in ("p50_ms", "p99_ms", "p9999_ms", "max_ms")]
        self.assertEqual(latency, sorted(latency))

    def test_every_kind_of_request_is_answered(self):
        done = json.loads(self.load("--rate", "500", "--duration", "600ms", "--keys", "5", "--json", "--mix",
                                    "get=1,set=1,fetch:fruit:name=1,limit:api=1,enqueue:work=1").stdout)
        self.assertEqual([one["kind"] for one in done["requests"]], ["get", "set", "fetch", "limit", "enqueue"])
        self.assertEqual(done["errors"], {})
        self.assertEqual(done["answered"], sum(one["answered"] for one in done["requests"]))

    def test_http_is_asked_the_same(self):
        url = f"http://127.0.0.1:{self.server.http_port}"
        words = ("bench", "load", "--warmup", "0", "--timeout", "120s", "--rate", "500", "--json", "--url")
        done = run(*words, url, "--duration", "600ms", "--keys", "5", "--fill", "--pipeline", "4", "--mix",
                   "get=1,set=1,fetch:fruit:name=1,limit:api=1,enqueue:work=1")
        self.assertEqual(done.returncode, 0, done.stderr)
        said = json.loads(done.stdout)
        self.assertEqual(said["asked"]["server"], url)
        self.assertEqual(said["errors"], {})
        self.assertEqual(said["due"], said["answered"] + said["unsent"] + said["unanswered"])
        self.assertEqual(said["answered"], sum(one["answered"] for one in said["requests"]))
        self.assertEqual(said["misses"], 0)
        with self.server.redis() as client:
            self.assertEqual(len(client.get("key:000000000000")), 100)
        done = run(*words, url + "/v1/fetch/fruit?name=plum", "--duration", "300ms")
        said = json.loads(done.stdout)
        self.assertEqual((said["hits"], said["misses"], said["errors"]), (said["answered"], 0, {}))
        done = run(*words, url + "/v1/fetch/nosuch", "--duration", "600ms")
        self.assertEqual(list(json.loads(done.stdout)["errors"]), ["NOCLASS"])
        self.assertEqual(done.returncode, 4)

    def test_what_speaks_no_http_is_an_error(self):
        done = run("bench", "load", "--url", f"http://{self.server.url}", "--duration", "1s", "--warmup", "0",
                   "--json")
        self.assertEqual(done.returncode, 3)
        # It hangs up on what looks like a page's request.
        self.assertIn(list(json.loads(done.stdout)["errors"]), (["protocol error"], ["connection lost"]))

    def test_errors_are_named_and_errors_alone_are_a_failure(self):
        for _ in range(5):  # one that had no turn for those 200 ms has asked nothing
            words = ("--warmup", "0", "--rate", "500", "--duration", "200ms", "--mix")
            done = self.server.cli("bench", "load", *words, "fetch:nosuch:name=1")
            if "errors: " in done.stdout:
                break
        self.assertRegex(done.stdout, r"errors: NOCLASS \d+")
        self.assertEqual(done.returncode, 4)

    def test_ctrl_c_keeps_what_there_is(self):
        words = [PROGRAM, "bench", "load", "--url", self.server.url, "--duration", "1h", "--rate", "100", "--json"]
        with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              env=clean_environment()) as load:
            try:
                for _ in range(2):  # the warm-up's, and one that counts
                    self.assertIn("p99", load.stderr.readline())
                load.send_signal(signal.SIGINT)
                out, _ = load.communicate(timeout=PATIENCE)
            finally:
                load.kill()
        done = json.loads(out)
        self.assertEqual(load.returncode, 0)
        self.assertTrue(done["interrupted"])
        self.assertGreater(done["due"], 0)

    def test_wrong_words_are_refused(self):
        for words in (["--rate", "0"], ["--zipf", "1"], ["--mix", "get"], ["--arrivals", "late"], ["--samples", "3"],
                      ["--url", "http://127.0.0.1:1/a", "--mix", "get=1"], ["--url", "http://a:x"],
                      ["--mix", "get=1", "--get-ratio", "1"], ["--duration", "1ms"], ["--pipeline", "0"], ["more"]):
            done = run("bench", "load", "--url", self.server.url, *words)
            self.assertEqual(done.returncode, 2, words)
            self.assertNotEqual(done.stderr, "")
        self.assertEqual(run("bench", "load", "--url", "unix:/nowhere/at/all").returncode, 3)


if __name__ == "__main__":
    main()
