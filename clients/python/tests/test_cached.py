"""Cached functions: one run for all who ask, what is kept, what overtakes what."""

import asyncio
import datetime
import functools
import inspect
import os
import threading
import unittest

import forebay
from helpers import PATIENCE, TestCase, in_child


def in_threads(count, call):
    """What the calls returned or raised."""
    outcomes = []

    def work():
        try:
            outcomes.append(call())
        except Exception as error:
            outcomes.append(error)
    threads = [threading.Thread(target=work, daemon=True) for _ in range(count)]
    for thread in threads:
        thread.start()
    return threads, outcomes


def join(threads):
    for thread in threads:
        thread.join(PATIENCE)
        assert not thread.is_alive()


class Sync(TestCase):
    def setUp(self):
        super().setUp()
        self.quiet()
        self.runs = []

    def test_one_line_caches_a_function(self):
        @self.cache.cached(ttl=300)
        def add(a, b=1):
            """Adds."""
            self.runs.append((a, b))
            return a + b
        self.assertEqual([add(1), add(1, 1), add(b=1, a=1), add(1, 2)], [2, 2, 2, 3])
        self.assertEqual(self.runs, [(1, 1), (1, 2)])
        self.assertEqual((add.__name__, add.__doc__), ("add", "Adds."))
        self.assertEqual(add.__wrapped__(5, 5), 10)
        self.assertEqual(str(inspect.signature(add)), "(a, b=1)")
        # Private memory keeps nothing for longer than a minute.
        self.assertTrue(0 < self.cache.ttl(add.key(1)) <= 60)

    def test_none_and_falsehood_are_results(self):
        for value in (None, False, 0, "", [], {}):
            @self.cache.cached(ttl=300)
            def f(n, value=value):
                self.runs.append(n)
                return value
            self.runs.clear()
            self.assertEqual([f(1), f(1)], [value, value])
            self.assertEqual(self.runs, [1])

    def test_the_first_answer_is_like_the_second(self):
        for value in ((1, 2), {1: (2,)}, b"[1]", bytearray(b"5"), "x", 1.5, {"a": [None]}):
            @self.cache.cached(ttl=300, key=lambda: f"key {value!r}")
            def f():
                return value
            first, second = f(), f()
            self.assertEqual(first, second)
            self.assertIs(type(first), type(second))
        self.assertEqual(f(), {"a": [None]})

    def test_a_result_that_is_changed_changes_nothing_that_is_kept(self):
        @self.cache.cached(ttl=300)
        def f():
            return {"a": [1]}
        f()["a"].append(2)
        f()["a"].append(3)
        self.assertEqual(f(), {"a": [1]})

    def test_callers_at_the_same_time_share_one_run(self):
        gate = threading.Event()

        @self.cache.cached(ttl=300)
        def f(n):
            self.runs.append(n)
            gate.wait(PATIENCE)
            return [n]
        threads, outcomes = in_threads(16, lambda: f(7))
        while not self.runs:
            pass
        gate.set()
        join(threads)
        self.assertEqual(outcomes, [[7]] * 16)
        self.assertEqual(self.runs, [7])
        self.assertEqual(len({id(one) for one in outcomes}), 16, "each has one of his own")

    def test_an_exception_is_shared_and_not_kept(self):
        gate = threading.Event()

        @self.cache.cached(ttl=300)
        def f():
            self.runs.append(1)
            gate.wait(PATIENCE)
            if len(self.runs) == 1:
                raise KeyError("gone")
            return "there"
        threads, outcomes = in_threads(8, f)
        while not self.runs:
            pass
        gate.set()
        join(threads)
        # Whoever came after the first run had ended was answered by another.
        self.assertEqual(outcomes.count("there") + sum(isinstance(one, KeyError) for one in outcomes), 8)
        self.assertGreaterEqual(sum(isinstance(one, KeyError) for one in outcomes), 1)
        self.assertEqual(f(), "there")

    def test_an_interrupted_leader_is_succeeded(self):
        entered, gate = threading.Event(), threading.Event()

        class Interrupted(BaseException):
            pass

        @self.cache.cached(ttl=300)
        def f():
            self.runs.append(1)
            if len(self.runs) == 1:
                entered.set()
                gate.wait(PATIENCE)
                raise Interrupted
            return "there"

        def lead():
            with self.assertRaises(Interrupted):
                f()
        leader = threading.Thread(target=lead)
        leader.start()
        entered.wait(PATIENCE)
        threads, outcomes = in_threads(4, f)
        gate.set()
        join(threads + [leader])
        self.assertEqual(outcomes, ["there"] * 4)

    def test_a_function_may_call_itself(self):
        @self.cache.cached(ttl=300)
        def fib(n):
            return n if n < 2 else fib(n - 1) + fib(n - 2)
        self.assertEqual(fib(60), 1548008755920)

        @self.cache.cached(ttl=300)
        def same(n):
            self.runs.append(n)
            return same(n) if len(self.runs) < 3 else "done"
        self.assertEqual(same(1), "done")

    def test_invalidate_and_refresh(self):
        @self.cache.cached(ttl=300)
        def f(n):
            self.runs.append(n)
            return len(self.runs)
        self.assertEqual([f(1), f(1)], [1, 1])
        self.assertIs(f.invalidate(1), True)
        self.assertIs(f.invalidate(n=1), False)
        self.assertEqual([f(1), f(1)], [2, 2])
        self.assertEqual(f.refresh(1), 3)
        self.assertEqual(f(1), 3)

    def test_an_overtaken_run_answers_and_is_not_kept(self):
        for overtake in ("invalidate", "refresh"):
            entered, gate = threading.Event(), threading.Event()
            source = ["old"]

            @self.cache.cached(ttl=300, key=lambda: overtake)
            def f():
                read = source[0]
                if read == "old":
                    entered.set()
                    gate.wait(PATIENCE)
                return read
            threads, outcomes = in_threads(1, f)
            entered.wait(PATIENCE)
            source[0] = "new"
            getattr(f, overtake)()
            gate.set()
            join(threads)
            self.assertEqual(outcomes, ["old"])
            self.assertEqual(f(), "new")

    def test_what_cannot_be_kept_is_a_clear_error(self):
        @self.cache.cached(ttl=300)
        def f():
            return {"when": datetime.date.today()}

        @self.cache.cached(ttl=300)
        def half():
            return "\ud800"
        with self.assertRaisesRegex(TypeError, r"f\(\): its result cannot be kept: .*date"):
            f()
        with self.assertRaisesRegex(ValueError, r"half\(\): its result cannot be kept: .*surrogates"):
            half()

    def test_a_result_that_is_too_large_is_not_kept(self):
        @self.cache.cached(ttl=300)
        def f():
            self.runs.append(1)
            return "x" * (32 << 20)
        self.assertEqual([len(f()), len(f())], [32 << 20] * 2)
        self.assertEqual(len(self.runs), 2)

    def test_methods_class_methods_static_methods(self):
        runs = self.runs

        class Shop:
            @self.cache.cached(ttl=300, method=True)
            def price(self, fruit):
                runs.append(fruit)
                return fruit.upper()

            @classmethod
            @self.cache.cached(ttl=300, method=True)
            def kind(cls, fruit):
                runs.append(cls.__name__)
                return fruit

            @staticmethod
            @self.cache.cached(ttl=300)
            def plain(fruit):
                runs.append("plain")
                return fruit
        self.assertEqual([Shop().price("plum"), Shop().price(fruit="plum")], ["PLUM"] * 2)
        self.assertEqual([Shop.kind("a"), Shop().kind("a"), Shop.plain("a"), Shop().plain("a")], ["a"] * 4)
        self.assertEqual(runs, ["plum", "Shop", "plain"])
        self.assertTrue(Shop.price.invalidate(Shop(), "plum"))

    def test_decorations_that_could_not_work(self):
        def each():
            yield 1

        async def each_later():
            yield 1
        for function in (each, each_later):
            with self.assertRaisesRegex(TypeError, "generator"):
                self.cache.cached(ttl=300)(function)
        with self.assertRaisesRegex(TypeError, "lambda"):
            self.cache.cached(ttl=300)(lambda n: n)
        self.assertEqual(self.cache.cached(ttl=300, key=str)(lambda n: 2 * n)(4), 8)
        with self.assertRaisesRegex(TypeError, "decorates a function"):
            self.cache.cached(ttl=300)(functools.partial(print, 1))
        for ttl in (float("inf"), 10**400, datetime.timedelta.max):
            with self.assertRaisesRegex(ValueError, "at most 100 years"):
                self.cache.cached(ttl=ttl)

    def test_wrong_decorations(self):
        with self.assertRaisesRegex(TypeError, r"say for how long: @cached\(ttl=300\)"):
            @forebay.cached
            def f(): ...
        with self.assertRaises(TypeError):
            self.cache.cached()
        for ttl, error in ((0, ValueError), (-1.5, ValueError), ("5", TypeError), (True, TypeError),
                           (datetime.timedelta(0), ValueError)):
            with self.assertRaisesRegex(error, "ttl must be"):
                forebay.cached(ttl=ttl)
        for wrong in (5, staticmethod(len), int):
            with self.assertRaises(TypeError):
                self.cache.cached(ttl=5)(wrong)

    def test_a_child_does_not_wait_for_flights_of_its_parent(self):
        gate, entered = threading.Event(), threading.Event()
        pid = os.getpid()

        @self.cache.cached(ttl=300)
        def f():
            if os.getpid() == pid:
                entered.set()
                gate.wait(PATIENCE)
            return os.getpid() == pid
        threads, _ = in_threads(1, f)
        entered.wait(PATIENCE)
        status = in_child(lambda: self.assertFalse(f()))
        gate.set()
        join(threads)
        self.assertEqual(status, 0)


class Async(TestCase):
    def setUp(self):
        super().setUp()
        self.quiet()
        self.runs = []

    def test_a_coroutine_function_stays_one(self):
        @self.cache.cached(ttl=300)
        async def f(n):
            self.runs.append(n)
            return [n]

        async def main():
            return [await f(1), await f(n=1), await f(2)]
        self.assertTrue(inspect.iscoroutinefunction(f))
        self.assertEqual(asyncio.run(main()), [[1], [1], [2]])
        self.assertEqual(asyncio.run(main()), [[1], [1], [2]], "in another loop")
        self.assertEqual(self.runs, [1, 2])

    def test_tasks_at_the_same_time_share_one_run(self):
        @self.cache.cached(ttl=300)
        async def f(n):
            self.runs.append(n)
            await asyncio.sleep(0.01)
            return [n]

        async def main():
            return await asyncio.gather(*(f(n) for n in (1, 2) for _ in range(50)))
        self.assertEqual(asyncio.run(main()), [[1]] * 50 + [[2]] * 50)
        self.assertEqual(sorted(self.runs), [1, 2])

    def test_an_exception_is_shared_and_not_kept(self):
        @self.cache.cached(ttl=300)
        async def f():
            self.runs.append(1)
            await asyncio.sleep(0.01)
            raise KeyError("gone")

        async def main():
            return await asyncio.gather(*(f() for _ in range(10)), return_exceptions=True)
        self.assertEqual([type(one) for one in asyncio.run(main())], [KeyError] * 10)
        self.assertEqual(len(self.runs), 1)
        asyncio.run(main())
        self.assertEqual(len(self.runs), 2)

    def test_a_cancelled_leader_is_succeeded_and_a_cancelled_waiter_is_not_missed(self):
        @self.cache.cached(ttl=300)
        async def f():
            self.runs.append(1)
            await asyncio.sleep(0.05 if len(self.runs) > 1 else 3600)
            return "there"

        async def main():
            tasks = [asyncio.ensure_future(f()) for _ in range(6)]
            while not self.runs:
                await asyncio.sleep(0.001)
            tasks[0].cancel()
            tasks[3].cancel()
            return await asyncio.gather(*tasks, return_exceptions=True)
        outcomes = asyncio.run(asyncio.wait_for(main(), PATIENCE))
        self.assertEqual([one if isinstance(one, str) else "cancelled" for one in outcomes],
                         ["cancelled", "there", "there", "cancelled", "there", "there"])
        self.assertEqual(len(self.runs), 2)

    def test_invalidate_and_refresh(self):
        @self.cache.cached(ttl=300)
        async def f():
            self.runs.append(1)
            return len(self.runs)

        async def main():
            seen = [await f(), await f(), await f.invalidate(), await f(), await f.refresh(), await f()]
            return seen
        self.assertEqual(asyncio.run(main()), [1, 1, True, 2, 3, 3])

    def test_loops_in_several_threads(self):
        @self.cache.cached(ttl=300)
        async def f(n):
            self.runs.append(n)
            await asyncio.sleep(0.01)
            return n

        async def main():
            return await asyncio.gather(*(f(n % 5) for n in range(50)))
        threads, outcomes = in_threads(4, lambda: asyncio.run(main()))
        join(threads)
        self.assertEqual(outcomes, [[n % 5 for n in range(50)]] * 4)


if __name__ == "__main__":
    unittest.main()
