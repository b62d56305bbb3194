"""The keys of cached functions."""

import datetime
import decimal
import enum
import unittest
import uuid

from forebay._keys import CLEAR_MAX
from helpers import TestCase


class Colour(enum.Enum):
    RED = 1


class Level(enum.IntEnum):
    HIGH = 1


class Access(enum.Flag):
    READ = 1
    WRITE = 2


class Name(str):
    pass


class Keys(TestCase):
    def key_of(self, function, *args, **kwargs):
        return self.cache.cached(ttl=60)(function).key(*args, **kwargs)

    def test_a_key_says_what_it_is_for(self):
        def price(fruit, count=1, *, unit="kg"): ...
        key = self.key_of(price, "plum")
        self.assertTrue(key.endswith('.price["plum",1,"kg"]'), key)
        self.assertIn("test_keys.Keys.test_a_key_says", key)

    def test_however_they_are_given_the_same_arguments_are_the_same_key(self):
        def f(a, b=2, *rest, c=3, **more): ...
        def g(a, b=2, c=3): ...
        self.assertEqual(len({self.key_of(f, 1), self.key_of(f, 1, 2), self.key_of(f, a=1), self.key_of(f, b=2, a=1),
                              self.key_of(f, 1, c=3)}), 1)
        self.assertEqual(len({self.key_of(g, 1), self.key_of(g, 1, 2), self.key_of(g, a=1), self.key_of(g, b=2, a=1),
                              self.key_of(g, 1, 2, 3), self.key_of(g, 1, c=3), self.key_of(g, c=3, b=2, a=1)}), 1)
        self.assertEqual(self.key_of(f, 1, 2, 3, x=1, y=2), self.key_of(f, 1, 2, 3, y=2, x=1))
        self.assertEqual(self.key_of(g, {"x": 1, "y": [2]}), self.key_of(g, {"y": [2], "x": 1}))

    def test_other_arguments_are_another_key(self):
        def f(a=None, *rest, **more): ...
        date = datetime.date(2026, 11, 20)
        values = [None, True, 1, 1.0, "1", "true", "null", "", [], [[]], {}, [1], ["1"], {"1": 1}, {"1": "1"}, b"", b"1", b"31",
                  date, str(date), datetime.datetime(2026, 11, 20), datetime.time(0), datetime.timedelta(1),
                  decimal.Decimal("1.0"), decimal.Decimal("1"), uuid.UUID(int=1), str(uuid.UUID(int=1)), Colour.RED, Level.HIGH,
                  Access.READ, Access.READ | Access.WRITE, Access(0),
                  "RED", 10**30, -1, 2**63, "\\", '"', "\n", "\\n", "ä", 'a","b', 1e16, 10**16, float("inf"), float("nan")]
        keys = [self.key_of(f, value) for value in values]
        keys += [self.key_of(f, 1, 2), self.key_of(f, 1, [2]), self.key_of(f, 1, x=2), self.key_of(f, "a", "b")]
        self.assertEqual(len(set(keys)), len(keys), sorted(keys))

    def test_alike_arguments_are_the_same_key(self):
        def f(a): ...
        self.assertEqual(self.key_of(f, (1, 2)), self.key_of(f, [1, 2]))
        self.assertEqual(self.key_of(f, Name("x")), self.key_of(f, "x"))

    def test_a_long_key_becomes_a_digest(self):
        def f(a): ...
        keys = [self.key_of(f, "x" * length) for length in range(CLEAR_MAX, CLEAR_MAX + 5)] + [self.key_of(f, list(range(100000)))]
        self.assertEqual(len(set(keys)), len(keys))
        for key in keys:
            self.assertRegex(key, r"\.f#[0-9a-f]{32}$")

    def test_what_cannot_be_part_of_a_key_is_named(self):
        def f(a, when, *rest, **more): ...
        circle = []
        circle.append(circle)
        for value in (object(), {1, 2}, {1: 2}, [object()], "\ud800", lambda: 0, bytearray(b"x")):
            with self.assertRaisesRegex(TypeError, r"\.f\(\): the argument 'when' cannot be part of a key: .*key="):
                self.key_of(f, 1, value)
        with self.assertRaisesRegex(TypeError, "the argument 'rest'"):
            self.key_of(f, 1, 2, object())
        with self.assertRaisesRegex(TypeError, "the argument 'more'"):
            self.key_of(f, 1, 2, x=object())
        with self.assertRaises(RecursionError):
            self.key_of(f, 1, circle)

    def test_wrong_calls_are_told_as_python_tells_them(self):
        def f(a, /, b, *, c=1): ...
        for args, kwargs in (((), {}), ((1,), {}), ((1, 2, 3), {}), ((1, 2), {"d": 1}), ((1, 2), {"b": 2}), ((), {"a": 1, "b": 2})):
            with self.assertRaisesRegex(TypeError, "argument|parameter"):
                self.key_of(f, *args, **kwargs)

    def test_methods_leave_self_out(self):
        class Shop:
            @self.cache.cached(ttl=60, method=True)
            def price(this, fruit): ...

            @self.cache.cached(ttl=60)
            def other(this, fruit): ...
        self.assertTrue(Shop.price.key(Shop(), "plum").endswith('Shop.price["plum"]'))
        with self.assertRaisesRegex(TypeError, "the argument 'this' cannot be .* method=True"):
            Shop.other.key(Shop(), "plum")

    def test_a_method_without_a_name_for_self(self):
        class Shop:
            @self.cache.cached(ttl=60, method=True)
            def price(*args, unit="kg"): ...
        self.assertTrue(Shop.price.key(Shop(), "plum", 2).endswith('Shop.price[["plum",2],"kg"]'))
        for function in (lambda: 0, lambda *, a: 0, lambda **more: 0):
            function.__name__ = "f"
            with self.assertRaisesRegex(TypeError, "takes no self"):
                self.cache.cached(ttl=60, method=True)(function)

    def test_a_key_of_ones_own(self):
        @self.cache.cached(ttl=60, key=lambda user, **_: f"user:{user}")
        def f(user, verbose=False): ...
        self.assertEqual(f.key(4, verbose=True), "user:4")


if __name__ == "__main__":
    unittest.main()
