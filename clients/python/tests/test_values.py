"""What is kept, and how it comes back."""

import datetime
import decimal
import math
import pickle
import unittest

import forebay
from forebay import _native
from helpers import TestCase

VALUES = [None, True, False, 0, 1, -1, 7, 10**17, 999999999999999999, 10**18, -10**18, 2**63, -2**63, 10**40,
          0.0, -0.0, 1.5, 1e300, 5e-324, "", "a", "Ada", "quote \" backslash \\", "zwölf", "日本", "\u0000", "\n", "😀",
          "true", "5", [], {}, [1, [2, [3]]], {"name": "Ada", "rights": ["read"], "n": None}, [""] * 1000,
          "x" * 100000, {str(i): i for i in range(3000)}]
BYTES = [b"", b"\x00", b"\xff", bytes(range(256)), b"hello", b"{", b'"', b"01", b"-", b"nul", b"\xff[1]", b"x" * 100000]


class Values(TestCase):
    def test_json_comes_back_as_it_was(self):
        self.quiet()
        for value in VALUES:
            self.cache.set("key", value)
            back = self.cache.get("key", "nothing")
            self.assertEqual(back, value)
            self.assertIs(type(back), type(value))
        self.cache.set("key", -0.0)
        self.assertEqual(math.copysign(1, self.cache.get("key")), -1)

    def test_bytes_come_back_as_they_were(self):
        self.quiet()
        for value in BYTES:
            for kind in (bytes, bytearray, memoryview):
                self.cache.set("key", kind(value))
                self.assertEqual(self.cache.get("key"), value)
                self.assertEqual(self.cache.get_bytes("key"), value)

    def test_bytes_that_are_json_are_json_to_get_and_bytes_to_get_bytes(self):
        self.quiet()
        for text, value in ((b"[1]", [1]), (b" 5 ", 5), (b"-0", 0), (b'"\\u00e4"', "ä"), (b'\n{"a": null}\t', {"a": None}),
                            (b"true ", True), (b' "x"', "x"), (b"1e2", 100.0), (b"-12", -12)):
            self.cache.set("key", text)
            self.assertEqual(self.cache.get("key"), value)
            self.assertEqual(self.cache.get_bytes("key"), text)

    def test_what_is_no_json_is_refused_and_nothing_changes(self):
        self.quiet()
        self.cache.set("key", "before")
        circle = []
        circle.append(circle)
        for value in (object(), {1, 2}, circle, math.nan, math.inf, decimal.Decimal(1), datetime.date.today(), "\ud800",
                      {(1, 2): 3}, [b"bytes within"]):
            with self.assertRaises((TypeError, ValueError)):
                self.cache.set("key", value)
        self.assertEqual(self.cache.get("key"), "before")

    def test_what_is_too_deep_for_json_is_refused(self):
        deep = []
        for _ in range(600):
            deep = [deep]
        with self.assertRaisesRegex(ValueError, "nested deeper"):
            self.cache.set("key", deep)

    def test_results_come_back_exactly(self):
        for value in VALUES + BYTES + [b"[1]", b"5", b"null", b"\xff5"]:
            packed = _native.pack(value)
            back = _native.unpack(packed, "nothing")
            self.assertEqual(back, value)
            self.assertIs(type(back), type(value))

    def test_what_is_no_result_is_none(self):
        for packed in (b"", b"hello", b"{", b"\x80\x04."):
            self.assertEqual(_native.unpack(packed, "nothing"), "nothing")

    def test_a_default_for_what_is_not_there(self):
        self.quiet()
        marker = object()
        self.assertIsNone(self.cache.get("none"))
        self.assertIs(self.cache.get("none", marker), marker)
        self.assertIs(self.cache.get("none", default=marker), marker)
        self.assertIs(self.cache.get(key="none", default=marker), marker)
        self.assertIs(self.cache.get_bytes("none", marker), marker)
        self.assertIs(self.cache.peek("none", marker), marker)
        self.cache.set("null", None)
        self.assertIsNone(self.cache.get("null", marker))

    def test_keys_are_text_or_bytes(self):
        self.quiet()
        self.cache.set("schlüssel", 1)
        self.assertEqual(self.cache.get("schlüssel".encode()), 1)
        self.cache.set(b"\xff\x00", 2)
        self.assertEqual(self.cache.get(b"\xff\x00"), 2)
        for key in (1, None, ["a"], 1.5, bytearray(b"a")):
            with self.assertRaisesRegex(TypeError, "key must be str or bytes, not " + type(key).__name__):
                self.cache.get(key)
        with self.assertRaises(UnicodeEncodeError):
            self.cache.get("\ud800")

    def test_many_at_once(self):
        self.quiet()
        self.cache.set_many({"a": 1, b"b": b"\xfe", "c": [1]}, ttl=60)
        self.assertEqual(self.cache.get_many(["a", b"b", "none", "c", "a"]), {"a": 1, b"b": b"\xfe", "c": [1]})
        self.assertEqual(self.cache.get_many(key for key in "ac"), {"a": 1, "c": [1]})
        self.assertEqual(self.cache.get_many([]), {})
        self.cache.set_many({})
        for wrong in ("abc", b"abc", None, 5):
            with self.assertRaises(TypeError):
                self.cache.get_many(wrong)
        with self.assertRaises(TypeError):
            self.cache.get_many(["a", 5])
        for wrong in ("ab", [("a", 2)], None, {"a": 2, "b": object()}):
            with self.assertRaises(TypeError):
                self.cache.set_many(wrong)
        self.assertEqual(self.cache.get("a"), 1, "refused as a whole")


class Plain(TestCase):
    def setUp(self):
        super().setUp()
        self.quiet()

    def test_add_delete_exists(self):
        self.assertTrue(self.cache.add("key", 1, ttl=60))
        self.assertFalse(self.cache.add("key", 2))
        self.assertEqual(self.cache.get("key"), 1)
        self.assertIs(self.cache.exists("key"), True)
        self.assertIs(self.cache.delete("key"), True)
        self.assertIs(self.cache.delete("key"), False)
        self.assertIs(self.cache.exists("key"), False)

    def test_incr(self):
        self.assertEqual(self.cache.incr("n"), 1)
        self.assertEqual(self.cache.incr("n", 41), 42)
        self.assertEqual(self.cache.incr("n", delta=-2), 40)
        self.assertEqual(self.cache.get("n"), 40)
        self.cache.set("text", "x")
        with self.assertRaises(forebay.BadRequest):
            self.cache.incr("text")
        with self.assertRaises(OverflowError):
            self.cache.incr("n", 2**70)
        with self.assertRaises(TypeError):
            self.cache.incr("n", "1")

    def test_lifetimes(self):
        self.assertIsNone(self.cache.ttl("none"))
        self.assertFalse(self.cache.expire("none", 5))
        for ttl in (50, 50.0, datetime.timedelta(seconds=50)):
            self.cache.set("key", 1, ttl)
            self.assertTrue(49 < self.cache.ttl("key") <= 50, self.cache.ttl("key"))
        self.assertTrue(self.cache.expire("key", 20))
        self.assertTrue(19 < self.cache.ttl("key") <= 20)
        self.cache.set("key", 1, 0.001)
        while self.cache.exists("key"):
            pass
        self.assertIsNone(self.cache.get("key"))

    def test_wrong_lifetimes(self):
        for ttl in (0, -1, -0.5, math.nan, math.inf, 10**30, datetime.timedelta(0)):
            with self.assertRaisesRegex((ValueError, OverflowError), "ttl must be|too large"):
                self.cache.set("key", 1, ttl)
        for ttl in ("5", True, [], b"5"):
            with self.assertRaisesRegex(TypeError, "ttl must be seconds or a timedelta"):
                self.cache.set("key", 1, ttl=ttl)
        with self.assertRaisesRegex(TypeError, "not None"):
            self.cache.expire("key", None)

    def test_wrong_calls(self):
        for call in (lambda: self.cache.get(), lambda: self.cache.get("a", 1, 2), lambda: self.cache.get("a", deflt=1),
                     lambda: self.cache.get("a", key="a"), lambda: self.cache.set("a"), lambda: self.cache.set("a", 1, 2, 3),
                     lambda: self.cache.invalidate(), lambda: self.cache.invalidate("a", tag="b"),
                     lambda: self.cache.invalidate(everything="yes"), lambda: self.cache.invalidate(everything=False),
                     lambda: self.cache.fetch(), lambda: self.cache.fetch(5), lambda: self.cache.fetch("a", 5),
                     lambda: self.cache.fetch("a", {1: "x"}), lambda: self.cache.fetch("a", name=None),
                     lambda: self.cache.fetch("a", name=["x"]), lambda: forebay.Client(5),
                     lambda: forebay.Client("a", "b"), lambda: forebay.Client(timeout="x")):
            with self.assertRaises(TypeError):
                call()

    def test_the_end(self):
        self.cache.set("key", 1)
        with self.cache as same:
            self.assertIs(same, self.cache)
        self.cache.close()
        for call in (lambda: self.cache.get("key"), lambda: self.cache.set("key", 1), lambda: self.cache.peek("key"),
                     lambda: self.cache.figures(), lambda: self.cache.fetch("a"), lambda: self.cache.get_many(["a"])):
            with self.assertRaisesRegex(ValueError, "closed"):
                call()

    def test_a_client_is_not_pickled(self):
        with self.assertRaisesRegex(TypeError, "pickle"):
            pickle.dumps(self.cache)

    def test_addresses(self):
        for url in ("unix:", "127.0.0.1:", "http://x:1", "127.0.0.1:99999"):
            with self.assertRaises(forebay.BadRequest, msg=url):
                forebay.Client(url)
        for url in ("unix:/nowhere.sock", "[::1]:6380", "forebay://ada:secret@127.0.0.1:6380", None):
            forebay.Client(url).close()


if __name__ == "__main__":
    unittest.main()
