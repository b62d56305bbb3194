#!/usr/bin/python3
"""The libraries, as a linker sees them: what the shared ones export is what the public headers declare,
under one version, and under a name with a number in it; memory is taken through the hook alone."""

import os
import pathlib
import re
import subprocess
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]


def run(*words):
    return subprocess.run(words, check=True, text=True, capture_output=True, timeout=120).stdout


def declared(*headers):
    """The functions that headers declare; without names, all of include/forebay."""
    paths = [ROOT / "include/forebay" / name for name in headers] or sorted((ROOT / "include/forebay").glob("*.h"))
    return {name for path in paths
            for name in re.findall(r"^FB_API\b[^;]*?\b(fb_\w+)\(", path.read_text(), re.MULTILINE)}


def exported(library):
    """{name: version} of what a library defines for others, but for the version itself."""
    rows = [line.split()[-2:] for line in run("nm", "-D", "--defined-only", library).splitlines()]
    pairs = [name.partition("@@") for kind, name in rows if kind != "A"]
    return {name: version for name, _, version in pairs}


class Libraries(unittest.TestCase):
    def test_the_library_exports_what_the_headers_declare(self):
        names = exported(os.environ["LIBRARY"])
        self.assertEqual(set(names), declared())
        self.assertEqual(set(names.values()), {"FOREBAY_0"})

    def test_the_client_exports_its_two_headers_and_nothing_else_of_its_own(self):
        names = exported(os.environ["CLIENT"])
        self.assertLessEqual(declared("client.h", "reader.h"), set(names))
        self.assertLessEqual(set(names), declared())
        self.assertEqual(set(names.values()), {"FOREBAY_0"})

    def test_nothing_but_the_hook_takes_memory(self):
        takes = {"malloc", "calloc", "realloc", "reallocarray", "posix_memalign", "aligned_alloc", "strdup",
                 "strndup", "asprintf", "vasprintf", "__asprintf_chk", "__vasprintf_chk", "getline", "getdelim",
                 "open_memstream"}
        rows = run("nm", "-A", "--undefined-only", os.environ["STATIC"]).splitlines()
        self.assertGreater(len(rows), 1000)
        who = {row.split(":")[-2].rsplit("_base_", 1)[-1] for row in rows if row.split()[-1] in takes}
        self.assertEqual(who, {"hooks.c.o", "mem.c.o"})

    def test_they_have_names_with_a_number(self):
        for variable, name in (("LIBRARY", "libforebay.so.0"), ("CLIENT", "libforebay-client.so.0")):
            self.assertIn(f"soname: [{name}]", run("readelf", "-d", os.environ[variable]))

    def test_the_client_needs_the_c_library_alone(self):
        needed = re.findall(r"Shared library: \[(.*?)\]", run("readelf", "-d", os.environ["CLIENT"]))
        ours = [name for name in needed if not re.match(r"lib(asan|ubsan|tsan)\.so", name)]
        self.assertEqual([name for name in ours if not re.match(r"(lib(c|m|gcc_s)|ld-linux.*)\.so", name)], [])


if __name__ == "__main__":
    unittest.main()
