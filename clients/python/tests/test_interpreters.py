"""Subinterpreters that share the GIL have forebay for themselves."""

import subprocess
import sys
import unittest

CODE = """if True:
    import forebay, logging
    logging.disable()
    cache = forebay.Client(%r)
    for turn in range(100):
        cache.set("key", {"turn": turn})
        assert cache.get("key") == {"turn": turn}
    try:
        cache.get(5)
        raise AssertionError
    except TypeError:
        pass
    try:
        cache.fetch("fruit")
        raise AssertionError
    except forebay.Unavailable:
        pass
"""
PROGRAM = """if True:
    import sys
    try:
        import _interpreters as interpreters
        ids, run = [interpreters.create("legacy") for _ in range(3)], interpreters.exec
    except ImportError:
        import _xxsubinterpreters as interpreters
        shared = {"isolated": False} if sys.version_info >= (3, 9) else {}
        ids, run = [interpreters.create(**shared) for _ in range(3)], interpreters.run_string
    for turn in range(2):
        for one in ids:
            failure = run(one, sys.argv[1])
            assert failure is None, failure
    for one in ids:
        interpreters.destroy(one)
    exec(sys.argv[1])
    print("fine")
"""


class Interpreters(unittest.TestCase):
    def test_each_has_clients_of_its_own(self):
        from helpers import nobody
        done = subprocess.run([sys.executable, "-c", PROGRAM, CODE % nobody()], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, universal_newlines=True)
        self.assertEqual((done.returncode, done.stdout), (0, "fine\n"), done.stderr)


if __name__ == "__main__":
    unittest.main()
