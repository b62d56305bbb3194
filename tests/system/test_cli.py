#!/usr/bin/python3
"""The command line: what it prints, --json everywhere, and its exit statuses."""

import json
import pathlib
import subprocess
import tempfile

from forebay import (CONFIG, PATIENCE, PROGRAM, ROOT, Server, TestCase, clean_environment, main,
                     make_shop, run)

APPLE = '{"name":"apple","price":1.5,"colour":"red"}'


class Talking(TestCase):
    """Subcommands that ask a running server."""

    @classmethod
    def setUpClass(cls):
        cls.server = Server()
        cls.enterClassContext(cls.server)

    def setUp(self):
        self.ask("invalidate", "all")

    def ask(self, *words, status=0):
        done = self.server.cli(*words)
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        return done.stdout

    def ask_json(self, *words, status=0):
        return json.loads(self.ask(*words, "--json", status=status))

    def test_set_get_del(self):
        self.assertEqual(self.ask("set", "a", "hello world"), "OK\n")
        self.assertEqual(self.ask("get", "a"), "hello world\n")
        self.assertEqual(self.ask("del", "a", "b"), "1\n")
        self.assertEqual(self.ask("get", "a", status=1), "(nothing)\n")
        self.assertEqual(self.ask("del", "a", status=1), "0\n")

    def test_set_takes_standard_input(self):
        for value in ("", "a b\n", "x" * 3000000):
            done = self.server.cli("set", "in", "-", "--ttl", "1h", stdin=value)
            self.assertEqual((done.returncode, done.stdout), (0, "OK\n"), done.stderr)
            self.assertEqual(self.ask("get", "in", "--raw"), value)
        self.assertEqual(self.ask("get", "nothing", "--raw", status=1), "")

    def test_set_get_del_in_json(self):
        self.assertEqual(self.ask_json("set", "a", '{"b": [1, 2]}'), "OK")
        self.assertEqual(self.ask_json("get", "a"), {"b": [1, 2]})
        self.ask("set", "a", "17")
        self.assertEqual(self.ask_json("get", "a"), "17")
        self.assertEqual(self.ask_json("del", "a"), 1)
        self.assertIsNone(self.ask_json("get", "a", status=1))

    def test_a_ttl(self):
        self.ask("set", "a", "x", "--ttl", "1h30m")
        with self.server.redis() as client:
            self.assertTrue(5390 < client.ttl("a") <= 5400)
        self.assertEqual(self.server.cli("set", "a", "x", "--ttl", "soon").returncode, 2)
        self.assertEqual(self.server.cli("set", "a", "x", "--ttl", "0").returncode, 2)

    def test_words_that_look_like_options_follow_two_dashes(self):
        self.ask("set", "--", "--json", "--x")
        self.assertEqual(self.ask("get", "--", "--json"), "--x\n")

    def test_fetch(self):
        self.assertEqual(self.ask("fetch", "fruit", "name= Apple "), APPLE + "\n")
        self.assertEqual(self.ask_json("fetch", "fruit", "name=apple"), json.loads(APPLE))
        self.assertEqual([row["name"] for row in self.ask_json("fetch", "list", "colour=red")],
                         ["apple", "cherry"])
        self.assertEqual(self.ask_json("fetch", "list", "colour=none"), [])
        self.assertIsNone(self.ask_json("fetch", "fruit", "name=stone", status=1))

    def test_whatever_is_a_value_its_json_parses(self):
        with self.server.redis() as client:
            for value in (b"", b"{", b'{"a":1}', b"[1,", b'"x"', b"\xff\x00", b"a\r\nb", b"1e999", b"\xed\xa0\x80"):
                client.set("any", value)
                told = self.ask_json("get", "any")
                self.assertIn(type(told), (str, dict))
        self.assertIsInstance(self.ask_json("stats"), dict)

    def test_whoever_reads_a_line_and_goes_is_no_trouble(self):
        done = subprocess.run(["/bin/sh", "-c", '"$0" stats --url "$1" | head -n 1', PROGRAM, self.server.url],
                              capture_output=True, text=True, timeout=PATIENCE, env=clean_environment())
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertRegex(done.stdout, r"\Aname +\S+\n\Z")

    def test_an_answer_that_cannot_be_written(self):
        for words in (("stats",), ("stats", "--json"), ("get", "none", "--json")):
            with open("/dev/full", "w", encoding="utf-8") as full:
                done = subprocess.run([PROGRAM, *words, "--url", self.server.url], stdout=full,
                                      stderr=subprocess.PIPE, text=True, timeout=PATIENCE,
                                      env=clean_environment())
            self.assertEqual(done.returncode, 5, done)
            self.assertIn("cannot write the answer", done.stderr)

    def test_passwords_are_not_shown(self):
        done = self.server.cli("get", "a", "--url", f"redis://me:s3cret@{self.server.url}")
        self.assertEqual(done.returncode, 3)
        self.assertIn("WRONGPASS", done.stderr)
        self.assertNotIn("s3cret", done.stdout + done.stderr)
        url = f"redis://default:s3cr%40et@{self.server.url}/0"
        done = self.server.cli("bench", "report", "fruit", "name=apple", "--url", url, "--json",
                               cwd=self.server.folder)
        self.assertEqual(json.loads(done.stdout)["server"], self.server.url)
        report = (self.server.folder / "cache_performance_report.txt").read_text()
        self.assertNotIn("s3cr", done.stdout + done.stderr + report)

    def test_the_wrong_port(self):
        done = self.server.cli("get", "a", "--url", f"127.0.0.1:{self.server.http_port}")
        self.assertEqual(done.returncode, 3)
        self.assertIn("no RESP server", done.stderr)

    def test_fetch_refresh_asks_the_source_again(self):
        before = self.server.stats("fruit")["loads"]
        for _ in range(3):
            self.ask("fetch", "fruit", "name=apple", "--refresh")
        self.assertEqual(self.server.stats("fruit")["loads"], before + 3)

    def test_a_fetch_that_the_server_refuses(self):
        for words, said in ((("nothing",), "there is no class 'nothing'"), (("fruit",), "name"),
                            (("fruit", "colour=red"), "colour"), (("slow", "rounds=x"), "rounds")):
            done = self.server.cli("fetch", *words)
            self.assertEqual(done.returncode, 4, done)
            self.assertIn(said, done.stderr)
            self.assertEqual(done.stdout, "")

    def test_invalidate(self):
        for scope, name in (("key", "fruit:apple"), ("pattern", "fruit:*"), ("tag", "colour:red"),
                            ("class", "fruit"), ("namespace", "default")):
            self.ask("fetch", "fruit", "name=apple")
            self.assertEqual(self.ask_json("explain", "fruit:apple")["tier"], "memory")
            self.ask_json("invalidate", scope, name)
            self.assertEqual(self.ask_json("explain", "fruit:apple")["tier"], "none", scope)
        self.assertEqual(self.server.cli("invalidate", "class", "nothing").returncode, 4)
        self.assertEqual(self.server.cli("invalidate", "sideways", "x").returncode, 4)

    def test_warm(self):
        self.assertEqual(self.ask_json("warm", "fruit", "name=apple"), 1)
        self.assertEqual(self.server.cli("warm", "nothing").returncode, 4)

    def test_stats(self):
        self.ask("fetch", "fruit", "name=apple")
        self.ask("fetch", "fruit", "name=apple")
        whole, fruit = self.ask_json("stats"), self.ask_json("stats", "fruit")
        self.assertGreaterEqual(whole["hits"], 1)
        self.assertEqual(fruit["name"], "fruit")
        self.assertEqual(set(fruit["load"]), {"count", "mean_ms", "p50_ms", "p95_ms", "p99_ms", "max_ms"})
        self.assertRegex(self.ask("stats", "fruit"), r"(?m)^hits +\d+$")
        self.assertEqual(self.server.cli("stats", "nothing").returncode, 4)

    def test_explain(self):
        self.ask("fetch", "fruit", "name=apple")
        told = self.ask_json("explain", "fruit:apple")
        self.assertEqual((told["class"], told["tier"], told["freshness"], told["kind"], told["tags"]),
                         ("fruit", "memory", "fresh", "json", ["colour:red"]))
        self.assertEqual(told["value_bytes"], len(APPLE))
        self.assertTrue(0 < told["fresh_for_ms"] <= 300000)
        self.assertRegex(self.ask("explain", "fruit:apple"), r"(?m)^tier +memory$")
        told = self.ask_json("explain", "fruit:stone")
        self.assertEqual((told["class"], told["tier"], told["freshness"], told["kind"]),
                         ("fruit", "none", "none", "none"))

    def test_limit_check_and_show(self):
        for left in (19, 18):
            said = self.ask("limit", "check", "improvement", "user:1")
            self.assertRegex(said, rf"\Aallowed: .*remaining.*\nremaining +{left} of 20\n")
        self.assertEqual(self.ask_json("limit", "check", "improvement", "user:1", "--peek")["remaining"], 18)
        self.assertEqual(self.ask_json("limit", "show", "improvement", "user:1")["remaining"], 18)
        said = self.ask("limit", "check", "improvement", "user:1", "--cost", 19, status=1)
        self.assertRegex(said, r"\Adenied: Rate limit exceeded\. Try again in .*\nremaining +18 of 20\nretry in +\S+\n")
        told = self.ask_json("limit", "check", "improvement", "user:1", "--cost", 19, status=1)
        self.assertEqual((told["rule"], told["source"]), ("improvement", "memory"))
        for name, value in ("allowed", False), ("denied", True), ("degraded", False):
            self.assertIs(told[name], value, name)
        self.assertRegex(self.ask("limit", "show", "improvement", "user:1"), r"remaining +18 of 20\n")
        rules = self.ask_json("limit", "show")
        self.assertEqual([rule["name"] for rule in rules], ["generation", "api", "improvement", "auth",
                                                            "otp_resend", "otp_account", "otp_address"])
        self.assertGreaterEqual(rules[2]["denied"], 2)
        lines = self.ask("limit", "show").splitlines()
        self.assertRegex(lines[0], r"\Aname +algorithm +limit +window +allowed +denied +keys\Z")
        self.assertRegex(lines[1], r"\Ageneration +sliding +10 +1m +\d+ +\d+ +\d+\Z")
        self.assertRegex(self.ask("limit", "show", "api"), r"(?m)^algorithm +sliding$")

    def test_limit_override_and_reset(self):
        self.assertEqual(self.ask("limit", "override", "api", "user:2", 5, "--for", "1h"), "OK\n")
        self.assertEqual(self.ask_json("limit", "check", "api", "user:2", "--cost", 5)["remaining"], 0)
        self.ask("limit", "check", "api", "user:2", status=1)
        self.assertEqual(self.ask("limit", "reset", "api", "user:2"), "OK\n")
        self.assertEqual(self.ask_json("limit", "show", "api", "user:2")["remaining"], 100)
        self.ask("limit", "override", "api", "user:2", "deny", "--for", "10m")
        self.assertEqual(self.ask_json("limit", "show", "api", "user:2")["retry_ms"], -1)
        self.ask("limit", "override", "api", "user:2", "none")
        self.assertIs(self.ask_json("limit", "show", "api", "user:2")["allowed"], True)

    def test_limit_asked_wrongly(self):
        for words, status, said in ((("sideways",), 2, "check, show, reset and override"),
                                    (("check", "api"), 2, "usage: forebay limit check RULE KEY"),
                                    (("reset", "api", "a", "--cost", "1"), 2, "reset takes no --cost"),
                                    (("override", "api", "a", "5"), 2, "override needs --for"),
                                    (("override", "api", "a", "5", "--for", "soon"), 2, "--for soon"),
                                    (("override", "api", "a", "much", "--for", "1h"), 4, "LIMIT needs"),
                                    (("check", "nothing", "a"), 4, "nothing"),
                                    (("show", "nothing"), 4, "nothing"),
                                    (("check", "api", "a", "--cost", "x"), 4, "COST")):
            done = self.server.cli("limit", *words)
            self.assertEqual((done.returncode, done.stdout), (status, ""), done)
            self.assertIn(said, done.stderr)

    def test_bench_report(self):
        with tempfile.TemporaryDirectory() as folder:
            done = self.server.cli("bench", "report", "slow", "rounds=300000", "--samples", 3, cwd=folder)
            self.assertEqual(done.returncode, 0, done.stderr)
            report = pathlib.Path(folder, "cache_performance_report.txt").read_text()
            self.assertTrue(done.stdout.startswith(report))
            for part in ("Tiers", "memory  up", "source  up: asked 3 times", "Samples", "rounds=300000",
                         "source, memory", "Averages", "deviation", "PING", "Recommendations", "Nobody had read"):
                self.assertIn(part, report)
            self.assertEqual(len([line for line in report.splitlines() if "rounds=" in line]), 3)

    def test_bench_report_in_json(self):
        for _ in range(3):  # a machine that stood still during one of five pings makes their mean long
            with tempfile.TemporaryDirectory() as folder:
                output = pathlib.Path(folder, "report.txt")
                told = self.ask_json("bench", "report", "slow", "rounds=300000", "rounds=300001",
                                     "--output", output)
                self.assertIn("class slow", output.read_text())
            if told["server_figures"]["load"]["p50_ms"] > told["ping_ms"] and told["speedup"]["mean"] > 2:
                break
        self.assertEqual([one["parameters"] for one in told["samples"]],
                         [f"rounds=30000{i % 2}" for i in range(5)])
        for one in told["samples"]:
            self.assertEqual((one["uncached_from"], one["cached_from"]), ("source", "memory"))
            self.assertAlmostEqual(one["speedup"], one["uncached_ms"] / one["cached_ms"], places=6)
        self.assertEqual(told["tiers"]["source"]["loads"], 5)
        self.assertEqual(told["tiers"]["shared"], "not configured")
        mean = sum(one["uncached_ms"] for one in told["samples"]) / 5
        self.assertAlmostEqual(told["uncached_ms"]["mean"], mean, places=6)
        deviation = (sum((one["uncached_ms"] - mean) ** 2 for one in told["samples"]) / 4) ** 0.5
        self.assertAlmostEqual(told["uncached_ms"]["standard_deviation"], deviation, places=6)
        # The query takes a hundred times as long as a round trip; whatever the machine is busy with.
        self.assertGreater(told["speedup"]["mean"], 2)
        self.assertGreater(told["server_figures"]["load"]["p50_ms"], told["ping_ms"])
        self.assertGreater(len(told["recommendations"]), 1)

    def test_bench_report_says_when_nothing_stays_in_the_cache(self):
        told = self.ask_json("bench", "report", "fruit", "name=stone", "--samples", 1, "--output",
                             str(self.server.folder / "r.txt"))
        self.assertEqual(told["samples"][0]["cached_from"], "no such thing")
        self.assertEqual(told["uncached_ms"]["standard_deviation"], 0)

    def test_bench_report_refuses_what_cannot_be_measured(self):
        for words, status in ((("report", "nothing"), 4), (("report", "fruit"), 4), (("report",), 2),
                              (("sprint", "fruit"), 2), (("report", "fruit", "name"), 2),
                              (("report", "fruit", "name=apple", "--samples", "0"), 2),
                              (("report", "fruit", "name=apple", "--output", "/no/such/folder/r"), 2)):
            done = self.server.cli("bench", *words, cwd=self.server.folder)
            self.assertEqual(done.returncode, status, (words, done))
            self.assertTrue(done.stderr.startswith("forebay bench: "), done.stderr)


class Alone(TestCase):
    """Subcommands that need no server."""

    def setUp(self):
        self.folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        make_shop(self.folder / "shop.db")

    def check(self, config, *words):
        file = self.folder / "forebay.yaml"
        file.write_text(config)
        return run("check", file, *words)

    def test_check_of_a_good_configuration(self):
        done = self.check(CONFIG)
        self.assertEqual((done.returncode, done.stdout), (0, f"{self.folder}/forebay.yaml: fine\n"))
        self.assertEqual(json.loads(self.check(CONFIG, "--json").stdout)["valid"], True)

    def test_check_names_the_place_of_a_mistake(self):
        for old, new, mark, words in (
                ("sources:", "memry: 1MiB\nsources:", "memry", ["memry", "memory"]),
                ("ttl: 1h", "ttl: soon", "soon", ["fruit.ttl", "soon", "30s"]),
                ("source: shop", "source: shap", "shap", ["shap", "shop"]),
                ("name, price, colour", "nam, price", '"SELECT nam,', ["fruit", "no such column: nam"]),
                ('key: "fruit:{name}"', 'key: "fruit:{name"', '"fruit:{', ["fruit", "key", "has no '}'"])):
            wrong = CONFIG.replace(old, new, 1)
            before = wrong[:wrong.index(mark)]
            place = f"{before.count(chr(10)) + 1}:{len(before.splitlines()[-1]) + 1 if before[-1] != chr(10) else 1}"
            done = self.check(wrong)
            self.assertEqual((done.returncode, done.stdout), (2, ""), done)
            self.assertTrue(done.stderr.startswith(f"{self.folder}/forebay.yaml:{place}: "),
                            (place, done.stderr))
            for word in words:
                self.assertIn(word, done.stderr)
            told = json.loads(self.check(wrong, "--json").stdout)
            self.assertEqual((told["valid"], f"{told['line']}:{told['column']}"), (False, place))
            self.assertIn(told["error"], done.stderr)

    def test_check_of_a_file_that_is_not_there(self):
        done = run("check", self.folder / "no.yaml")
        self.assertEqual(done.returncode, 2)
        self.assertIn("no.yaml", done.stderr)

    def test_check_reads_the_environment_and_settings_too(self):
        self.assertEqual(self.check(CONFIG, "--set", "memory=1PB").returncode, 2)
        file = self.folder / "forebay.yaml"
        self.assertEqual(run("check", file, env={"FOREBAY_MEMORY": "much"}).returncode, 2)
        self.assertEqual(run("check", env={"FOREBAY_CONFIG": str(file)}).returncode, 0)
        self.assertEqual(run("check", cwd=self.folder).returncode, 0)

    def test_version_and_help(self):
        self.assertRegex(run("version").stdout, r"\Aforebay \d+\.\d+\.\d+\n\Z")
        self.assertIn("version", json.loads(run("version", "--json").stdout))
        self.assertEqual(run("--version").stdout, run("version").stdout)
        text = run("help").stdout
        for name in ("serve", "get", "set", "del", "fetch", "invalidate", "warm", "stats", "explain",
                     "check", "bench", "version", "help"):
            self.assertRegex(text, rf"(?m)^  {name}\b")
            self.assertIn("Usage: forebay " + name, run("help", name).stdout)
            self.assertIn("Usage: forebay " + name, run(name, "--help").stdout)
            self.assertIn("Usage: forebay " + name, run(name, "-h").stdout)
            text += run("help", name).stdout.split("\n", 1)[1]
        self.assertEqual([line for line in text.splitlines() if len(line) > 80], [], "wider than a terminal")

    def test_bench_memory_under_churn_keeps_to_the_limit(self):
        told = json.loads(run("bench", "memory", "--churn", 1, "--json").stdout)
        self.assertEqual(told["wrong_values"], 0)
        self.assertGreater(told["puts"], 0)
        self.assertLessEqual(told["used_max_bytes"], told["limit_bytes"])
        self.assertEqual(told["goal"]["bound"], 1.05)

    def test_wrong_words_are_answered_with_a_hint(self):
        for words, said in ((("ftch",), "did you mean 'fetch'? `"), (("get", "a", "--zzzzzz"), "'--zzzzzz'; `"), (("get",), "usage: forebay get KEY"),
                            (("get", "a", "--jsn"), "did you mean '--json'?"), (("get", "a", "--json=1"), "takes no value"),
                            (("get", "a", "--timeout"), "needs a value"), (("help", "ftch"), "fetch"),
                            (("get", "a", "--timeout", "0.1ms"), "at least 1ms"),
                            (("bench", "report", "x", "--samples", "many"), "from 1 to"),
                            (("bench", "memory", "--entries", "10"), "from 1000 to"),
                            (("bench", "memory", "--entries", "1000,2000,3000,4000,5000"), "at most 4"),
                            (("bench", "memory", "--threads", "1,"), "from 1 to"),
                            (("bench", "memory", "--rounds", "0"), "from 1 to"),
                            (("bench", "memory", "--churn", "long"), "from 1 to"),
                            (("bench", "memory", "x"), "usage: forebay bench memory"),
                            (("bench", "memory", "--memory", "4MiB"), "memory takes no --memory"),
                            (("bench", "trace", "x", "--quick"), "trace takes no --quick"),
                            (("set", "a", "b", "--ttl", "soon"), "such as 30s")):
            done = run(*words)
            self.assertEqual((done.returncode, done.stdout), (2, ""))
            self.assertIn(said, done.stderr)

    def test_where_nobody_listens(self):
        done = run("get", "a", "--url", "127.0.0.1:1")
        self.assertEqual((done.returncode, done.stdout), (3, ""))
        self.assertIn("127.0.0.1:1", done.stderr)
        self.assertEqual(run("get", "a", "--url", "http://x").returncode, 2)
        for words in (("--url", "redis://:s3cret@127.0.0.1:x"), ("--ulr=redis://:s3cret@x",),
                      ("--url", "redis://:s3cret@127.0.0.1:1"), ("--url", "rediss://:s3cret@x")):
            done = run("get", "a", *words)
            self.assertIn(done.returncode, (2, 3))
            self.assertNotIn("s3cret", done.stderr)
        self.assertEqual(run("get", "a", env={"FOREBAY_URL": "127.0.0.1:1"}).returncode, 3)

    def test_the_example_is_valid(self):
        base = self.folder / "catalogue.db"
        subprocess.run([ROOT / "tools/catalogue", base, "50"], check=True, capture_output=True)
        done = run("check", ROOT / "examples/catalogue.yaml", "--set",
                   f"sources.catalogue.sqlite={base}")
        self.assertEqual(done.returncode, 0, done.stderr)


if __name__ == "__main__":
    main()
