#!/usr/bin/python3
"""The four monitoring routes: the applications' shapes after no, one and many requests."""

import json
import math
import re

from forebay import Server, TestCase, main

NUMBER = (int, float)
STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
PERCENT = re.compile(r"\d+(\.\d+)?%")
TIMES = re.compile(r"\d+(\.\d+)?x")

# What has to be there. More may stand beside it.
SHAPES = {
    "/cache/stats": {
        "cache_enabled": bool, "entries": int, "ttl_seconds": int,
        "metrics": {"hits": int, "misses": int, "total_requests": int, "hit_rate_percent": NUMBER,
                    "average_hit_latency_ms": NUMBER, "average_miss_latency_ms": NUMBER,
                    "performance_gain_multiplier": NUMBER, "uptime_seconds": NUMBER},
        "timestamp": STAMP,
    },
    "/cache/metrics": {
        "performance_dashboard": {
            "cache_hit_rate": PERCENT, "total_requests": int, "successful_hits": int,
            "cache_misses": int,
            "average_latency_comparison": {
                "cached_response_ms": NUMBER, "uncached_response_ms": NUMBER,
                "speedup_multiplier": TIMES, "time_saved_per_hit_ms": NUMBER},
            "cumulative_time_saved": {"total_ms": NUMBER, "total_seconds": NUMBER},
            "cache_efficiency": {"memory_entries": int, "ttl_seconds": int, "uptime_seconds": int,
                                 "estimated_memory_mb": NUMBER},
        },
        "timestamp": STAMP,
    },
    "/cache/status": {
        "cache_backends": {"memory_cache": str, "redis_cache": str},
        "current_mode": str, "fallback_chain": [str], "timestamp": STAMP,
    },
    "/analytics/dashboard": {
        "analytics": {
            "cache_performance": {
                "overall_hit_rate": PERCENT, "total_requests_processed": int,
                "successful_cache_hits": int, "cache_misses": int,
                "average_response_times": {"with_cache_ms": NUMBER, "without_cache_ms": NUMBER,
                                           "speedup_multiplier": TIMES},
                "total_time_saved": {"milliseconds": NUMBER, "seconds": NUMBER,
                                     "estimated_cost_savings": str}},
            "cache_infrastructure": {
                "memory_cache_enabled": bool, "redis_cache_enabled": bool, "redis_connected": bool,
                "memory_entries": int, "estimated_memory_usage_mb": NUMBER, "ttl_seconds": int,
                "uptime_seconds": int},
            "optimization_recommendations": [str],
        },
        "timestamp": STAMP,
    },
}


def reject(constant):
    raise ValueError(f"{constant} is no JSON")


class Monitoring(TestCase):
    def check_shape(self, shape, value, path):
        if isinstance(shape, dict):
            self.assertIsInstance(value, dict, path)
            for name, inner in shape.items():
                self.assertIn(name, value, path)
                self.check_shape(inner, value[name], f"{path}.{name}")
        elif isinstance(shape, list):
            self.assertIsInstance(value, list, path)
            for inner in value:
                self.check_shape(shape[0], inner, f"{path}[]")
        elif isinstance(shape, re.Pattern):
            self.assertRegex(value, rf"\A(?:{shape.pattern})\Z", path)
        else:
            self.assertIsInstance(value, shape, path)
            # In Python True is a number as well; in JSON it is none.
            self.assertEqual(isinstance(value, bool), shape is bool, path)
            if isinstance(value, float):
                self.assertTrue(math.isfinite(value), path)

    def check_all(self, server, prefix=""):
        answers = {}
        for path, shape in SHAPES.items():
            status, headers, body = server.http("GET", prefix + path)
            self.assertEqual(status, 200, path)
            self.assertIn("application/json", headers["Content-Type"])
            answers[path] = json.loads(body, parse_constant=reject)
            self.check_shape(shape, answers[path], path)
        return answers

    def check_agree(self, answers, hits, misses):
        stats = answers["/cache/stats"]["metrics"]
        board = answers["/cache/metrics"]["performance_dashboard"]
        whole = answers["/analytics/dashboard"]["analytics"]["cache_performance"]
        self.assertEqual((stats["hits"], stats["misses"]), (hits, misses))
        self.assertEqual(stats["total_requests"], hits + misses)
        self.assertEqual((board["successful_hits"], board["cache_misses"]), (hits, misses))
        self.assertEqual((whole["successful_cache_hits"], whole["cache_misses"]), (hits, misses))
        rate = 100 * hits / (hits + misses) if hits + misses else 0
        self.assertAlmostEqual(stats["hit_rate_percent"], rate, delta=0.06)
        for text in (board["cache_hit_rate"], whole["overall_hit_rate"]):
            self.assertAlmostEqual(float(text.rstrip("%")), rate, delta=0.06)

    def test_after_no_request_figures_are_zero(self):
        with Server() as server:
            answers = self.check_all(server)
            self.check_agree(answers, 0, 0)
            stats = answers["/cache/stats"]["metrics"]
            for name in ("average_hit_latency_ms", "average_miss_latency_ms",
                         "performance_gain_multiplier"):
                self.assertEqual(stats[name], 0, name)

    def test_after_one_request(self):
        with Server() as server:
            server.get_json("/v1/fetch/fruit?name=apple")
            answers = self.check_all(server)
            self.check_agree(answers, 0, 1)
            self.assertEqual(answers["/cache/stats"]["entries"], 1)
            self.assertEqual(answers["/cache/stats"]["ttl_seconds"], 3600)
            self.assertGreater(answers["/cache/stats"]["metrics"]["average_miss_latency_ms"], 0)
            self.assertEqual(answers["/cache/stats"]["metrics"]["average_hit_latency_ms"], 0)

    def ask_many(self):
        """What is answered after 300 reads of three keys."""
        with Server() as server, server.redis() as client:
            for name in ("apple", "plum", "lemon"):
                for _ in range(100):
                    client.execute_command("FB.FETCH", "fruit", "name", name)
            answers = self.check_all(server)
        self.check_agree(answers, 297, 3)
        return answers

    def test_after_many_requests(self):
        for _ in range(3):  # few hits are timed: one in which the machine stood still makes all of them slow
            answers = self.ask_many()
            stats = answers["/cache/stats"]["metrics"]
            if stats["performance_gain_multiplier"] > 1:
                break
        self.assertGreater(stats["average_hit_latency_ms"], 0)
        self.assertGreater(stats["performance_gain_multiplier"], 1)
        saved = answers["/cache/metrics"]["performance_dashboard"]["cumulative_time_saved"]
        self.assertGreater(saved["total_ms"], 0)
        advice = answers["/analytics/dashboard"]["analytics"]["optimization_recommendations"]
        self.assertTrue(any("fruit" in text for text in advice), advice)

    def test_when_every_request_failed(self):
        with Server() as server:
            (server.folder / "shop.db").write_bytes(b"no database any more" * 500)
            status, _, _ = server.http("GET", "/v1/fetch/fruit?name=apple")
            self.assertGreaterEqual(status, 500)
            self.check_all(server)

    def test_under_a_prefix_as_well(self):
        with Server(env={"FOREBAY_HTTP_PREFIX": "/codette"}) as server:
            self.check_all(server, "/codette")
            self.check_all(server)

    def test_health(self):
        with Server() as server:
            for path in ("/healthz", "/readyz"):
                status, _, _ = server.http("GET", path)
                self.assertEqual(status, 200, path)


if __name__ == "__main__":
    main()
