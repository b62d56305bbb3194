#!/usr/bin/python3
"""The client for Node.js: compiled, installed and packed with npm, and its own tests, which start
real daemons (clients/js/test)."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

from forebay import PATIENCE, PROGRAM, ROOT, TestCase, clean_environment, main

PACKAGE = ROOT / "clients/js"


def run(*words, cwd=PACKAGE, env=None, status=0):
    done = subprocess.run([*map(str, words)], cwd=cwd, capture_output=True, text=True,
                          timeout=2 * PATIENCE,
                          env=clean_environment({"PROGRAM": str(pathlib.Path(PROGRAM).absolute()),
                                                 "NO_COLOR": "1", **(env or {})}))
    if status is not None and done.returncode != status:
        raise AssertionError(f"{words} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
    return done


def newest(paths):
    return max(path.stat().st_mtime for path in paths)


def build():
    """Compiles the addon where a source is newer than it."""
    addon = PACKAGE / "build/Release/forebay.node"
    sources = [PACKAGE / "build.js", *PACKAGE.glob("src/*.[ch]"), *ROOT.glob("src/*/*.[ch]"),
               *ROOT.glob("include/forebay/*.h")]
    if not addon.exists() or newest(sources) > addon.stat().st_mtime:
        run("node", "build.js")


class Npm:
    """npm with folders of its own, and without a network."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.env = {"HOME": folder, "npm_config_cache": str(self.folder / "cache"),
                    "npm_config_offline": "true", "npm_config_audit": "false",
                    "npm_config_fund": "false", "npm_config_update_notifier": "false"}

    def __call__(self, *words, cwd=None, **options):
        return run("npm", *words, cwd=cwd or self.folder, env=self.env, **options)


class Package(TestCase):
    @classmethod
    def setUpClass(cls):
        if not shutil.which("npm"):
            raise unittest.SkipTest("npm is not installed")

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="forebay-test.")
        self.addCleanup(shutil.rmtree, self.folder)
        self.npm = Npm(self.folder)
        self.project = self.npm.folder / "project"
        self.project.mkdir()
        (self.project / "package.json").write_text('{"name": "app", "private": true}\n')

    def speak(self):
        """What a program in the project gets out of the package, without a daemon."""
        code = ("import { Client } from 'forebay'; const cache = new Client({ url: 'unix:/nowhere', "
                "onWarning: (event) => console.log(event) }); await cache.set('a', { b: [1] }); "
                "console.log(JSON.stringify(await cache.get('a')))")
        (self.project / "app.mjs").write_text(code)
        return run("node", "app.mjs", cwd=self.project).stdout

    def test_npm_installs_the_folder(self):
        # Some versions of npm link the folder, others copy what they would pack.
        built = "build/Release/forebay.node"
        before = (PACKAGE / built).stat().st_ino if (PACKAGE / built).exists() else None
        self.npm("install", PACKAGE, cwd=self.project)
        now = (self.project / "node_modules/forebay" / built).stat().st_ino
        self.assertNotEqual(now, before, "it was compiled")
        self.assertEqual(self.speak(), 'daemon_away\n{"b":[1]}\n')
        # What building leaves is nothing that git sees.
        if (ROOT / ".git").exists() and shutil.which("git"):
            left = run("git", "status", "--porcelain", "--ignored=no", "--", "clients/js/build",
                       "clients/js/core", cwd=ROOT, status=None)
            self.assertEqual(left.stdout, "")

    def test_a_packed_one_brings_its_sources_and_installs_elsewhere(self):
        # A copy: packing makes files in the folder for a while, and other tests use it.
        tree = self.npm.folder / "tree"
        for part in ("include", "src", "tools", "clients/js"):
            shutil.copytree(ROOT / part, tree / part,
                            ignore=shutil.ignore_patterns("build", "core", "node_modules"))
        packed = json.loads(self.npm("pack", "--json", "--pack-destination", self.npm.folder,
                                     cwd=tree / "clients/js").stdout)[0]
        names = {one["path"] for one in packed["files"]}
        self.assertLessEqual({"index.js", "index.mjs", "index.d.ts", "index.d.mts", "build.js",
                              "README.md", "src/addon.c", "core/sources.json",
                              "core/include/forebay/client.h", "core/src/client/client.c"}, names)
        self.assertFalse([name for name in names if name.startswith(("test", "build/"))])
        self.assertFalse((tree / "clients/js/core").exists())
        shutil.rmtree(tree)
        self.npm("install", self.npm.folder / packed["filename"], cwd=self.project)
        self.assertFalse((self.project / "node_modules/forebay").is_symlink())
        self.assertEqual(self.speak(), 'daemon_away\n{"b":[1]}\n')
        # An archive says nothing about where it was made.
        for path in (self.project / "node_modules/forebay").rglob("*.js*"):
            self.assertNotIn(str(ROOT), path.read_text())

    def test_its_version_is_that_of_forebay(self):
        version = re.search(r"version: '(.*)'", (ROOT / "meson.build").read_text())[1]
        self.assertEqual(json.loads((PACKAGE / "package.json").read_text())["version"], version)


class Building(TestCase):
    """What is missing is named, with Debian's name for it."""

    def fails(self, env, *, cwd=PACKAGE):
        done = run("node", "build.js", env=env, cwd=cwd, status=1)
        self.assertTrue(done.stderr.startswith("forebay: "), done.stderr)
        return done.stderr

    def test_without_a_compiler(self):
        self.assertIn("apt install gcc libc6-dev", self.fails({"CC": "no-such-compiler"}))

    def test_without_xxhash(self):
        self.assertIn("apt install libxxhash-dev",
                      self.fails({"CFLAGS": "-nostdinc " + self.standard_headers_without_xxhash()}))

    def standard_headers_without_xxhash(self):
        folder = tempfile.mkdtemp(prefix="forebay-test.")
        self.addCleanup(shutil.rmtree, folder)
        (pathlib.Path(folder) / "stdlib.h").write_text("")
        return "-I" + folder

    def test_without_sources(self):
        folder = tempfile.mkdtemp(prefix="forebay-test.")
        self.addCleanup(shutil.rmtree, folder)
        shutil.copy(PACKAGE / "build.js", folder)
        self.assertIn("C sources are missing", self.fails({}, cwd=folder))

    def test_the_program_says_that_it_is_not_built(self):
        folder = tempfile.mkdtemp(prefix="forebay-test.")
        self.addCleanup(shutil.rmtree, folder)
        for name in ("index.js", "package.json", "lib"):
            copy = shutil.copytree if (PACKAGE / name).is_dir() else shutil.copy
            copy(PACKAGE / name, pathlib.Path(folder) / name)
        done = run("node", "-e", "require('./index.js')", cwd=folder, status=1)
        self.assertIn("build.js", done.stderr)


class Tests(TestCase):
    """Those of the package, one process a file."""

    @classmethod
    def setUpClass(cls):
        build()

    def run_file(self, name):
        run("node", "--test", f"test/{name}.test.js")


for path in sorted((PACKAGE / "test").glob("*.test.js")):
    name = path.name.removesuffix(".test.js")
    setattr(Tests, f"test_{name}", lambda self, name=name: self.run_file(name))


if __name__ == "__main__":
    if not shutil.which("node"):
        sys.exit("node is not installed: tools/bootstrap test installs it")
    main()
