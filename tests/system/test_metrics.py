#!/usr/bin/python3
"""/metrics as Prometheus reads it: by promtool, where there is one, and by rules of our own that are stricter: each
metric once, named and typed by convention, histograms that add up, and figures that are those of /v1/stats."""

import re
import shutil
import subprocess

from forebay import CONFIG, Server, TestCase, main

WHOLE = CONFIG + """
limits:
  hourly: {limit: 2, window: 1h}
queue: {file: queue.db}
queues:
  work: {}
mail: {maildir: written, from: "Grain <no-reply@example.test>", product: Grain}
"""
NAME = re.compile(r"forebay(_[a-z0-9]+)+")
SAMPLE = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)")
LABEL = re.compile(r'([a-z_][a-z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(?:,|$)')
TYPES = ("counter", "gauge", "summary", "histogram")
# What is no base unit has no place in a name.
NO_UNITS = ("ms", "us", "ns", "milliseconds", "microseconds", "minutes", "hours", "kb", "mb", "kib", "mib", "percent")


def labels_of(text):
    labels = dict(LABEL.findall(text or ""))
    assert "".join(f'{name}="{value}",' for name, value in labels.items())[:-1] == (text or ""), text
    return labels


class Family:
    def __init__(self, name, kind, text):
        self.name, self.kind, self.help = name, kind, text
        self.samples = []


def read(text):
    """The families of an answer, which are checked on the way."""
    families = {}
    family = None
    assert text.endswith("\n")
    for line in text.splitlines():
        if line.startswith("# HELP "):
            _, _, name, words = line.split(" ", 3)
            assert name not in families, f"{name} comes twice"
            family = families[name] = Family(name, None, words)
        elif line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert name == family.name and family.kind is None and kind in TYPES, line
            family.kind = kind
        else:
            name, labels, value = SAMPLE.fullmatch(line).groups()
            ends = {"summary": ("", "_sum", "_count"), "histogram": ("_bucket", "_sum", "_count")}
            allowed = [family.name + end for end in ends.get(family.kind, ("",))]
            assert name in allowed, f"{line} stands below {family.name}"
            family.samples.append((name, labels_of(labels), float(value)))
    return families


class Metrics(TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server(WHOLE).start()
        cls.addClassCleanup(cls.end)
        for name in ("apple", "apple", "plum", "none"):
            cls.server.http("GET", f"/v1/fetch/fruit?name={name}")
        cls.server.http("POST", "/v1/queues/work/jobs", '{"payload": 1}')
        cls.server.http("POST", "/v1/limits/check", '{"rule": "hourly", "key": "a"}')
        status, headers, body = cls.server.http("GET", "/metrics")
        assert status == 200 and headers["Content-Type"].startswith("text/plain; version=0.0.4"), headers
        cls.text = body.decode()
        cls.families = read(cls.text)

    @classmethod
    def end(cls):
        status = cls.server.stop()
        cls.server.remove()
        assert status == 0, f"ended with {status}:\n" + "\n".join(cls.server.log.lines)

    def test_promtool_has_nothing_to_say(self):
        if not shutil.which("promtool"):
            self.skipTest("there is no promtool: tools/bootstrap test gets it")
        done = subprocess.run(["promtool", "check", "metrics"], input=self.text, capture_output=True, text=True,
                              check=False)
        self.assertEqual((done.returncode, done.stdout + done.stderr), (0, ""))

    def test_names_are_as_prometheus_wants_them(self):
        for family in self.families.values():
            with self.subTest(family.name):
                words = family.name.split("_")
                self.assertRegex(family.name, NAME)
                self.assertTrue(family.help)
                self.assertEqual(family.kind == "counter", words[-1] == "total")
                self.assertFalse(set(words) & set(NO_UNITS))
                if family.kind in ("summary", "histogram"):
                    self.assertEqual(words[-1], "seconds")

    def test_no_row_comes_twice(self):
        for family in self.families.values():
            rows = [(name, tuple(sorted(labels.items()))) for name, labels, _ in family.samples]
            self.assertEqual(len(rows), len(set(rows)), family.name)
            for name, labels, value in family.samples:
                self.assertGreaterEqual(value, 0, (name, labels))

    def test_histograms_add_up(self):
        histograms = [one for one in self.families.values() if one.kind == "histogram"]
        self.assertIn("forebay_cache_latency_seconds", [one.name for one in histograms])
        for family in histograms:
            rows = {}
            for name, labels, value in family.samples:
                bound = labels.get("le")
                row = rows.setdefault(tuple(sorted(one for one in labels.items() if one[0] != "le")), {"buckets": []})
                if bound is None:
                    row[name.rsplit("_", 1)[1]] = value
                else:
                    row["buckets"].append((float(bound), value))
            for labels, row in rows.items():
                with self.subTest(family.name, labels=labels):
                    bounds = [bound for bound, _ in row["buckets"]]
                    counts = [count for _, count in row["buckets"]]
                    self.assertEqual(bounds, sorted(set(bounds)))
                    self.assertEqual(bounds[-1], float("inf"))
                    self.assertEqual(counts, sorted(counts))
                    self.assertEqual(counts[-1], row["count"])
                    self.assertEqual(row["sum"] > 0, row["count"] > 0)

    def value(self, family, **labels):
        found = [value for name, has, value in self.families[family].samples if name == family and has == labels]
        self.assertEqual(len(found), 1, (family, labels))
        return found[0]

    def test_figures_are_those_of_the_stats(self):
        self.assertEqual(self.value("forebay_cache_hits_total", **{"class": "fruit"}), 1)
        self.assertEqual(self.value("forebay_cache_misses_total", **{"class": "fruit"}), 3)
        self.assertEqual(self.value("forebay_cache_load_negatives_total", **{"class": "fruit"}), 1)
        loads = [value for name, labels, value in self.families["forebay_cache_latency_seconds"].samples
                 if name.endswith("_count") and labels == {"class": "fruit", "outcome": "load"}]
        self.assertEqual(loads, [3])
        self.assertEqual(self.value("forebay_queue_jobs", queue="work", state="ready"), 1)


if __name__ == "__main__":
    main()
