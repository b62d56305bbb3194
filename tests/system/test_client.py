#!/usr/bin/python3
"""Processes that read the daemon's memory by themselves, while the daemon is killed and comes back.

CREW in the environment names the program of client_crew.c.
"""

import collections
import os
import pathlib
import random
import shutil
import signal
import subprocess
import time
import unittest

from forebay import CONFIG, PATIENCE, Server, TestCase, clean_environment, main

SHARED = pathlib.Path("/dev/shm")
CREW = os.environ.get("CREW", "build/tests/system/client_crew")
MILLISECONDS = int(os.environ.get("FB_CREW_MS", "5000"))


@unittest.skipUnless(SHARED.is_dir() and os.access(SHARED, os.W_OK), "no /dev/shm")
class Client(TestCase):
    def setUp(self):
        self.file = SHARED / f"forebay-test-{os.getpid()}-{self.id().rsplit('.', 1)[1]}"
        self.config = CONFIG + f"memory: 16MiB\nregion: {{file: {self.file}}}\nlisten: {{socket: fb.sock}}\n"
        self.addCleanup(self.clean)
        self.folder = None
        seed = int(os.environ.get("FB_TEST_SEED", "20240229"))
        print(f"FB_TEST_SEED={seed}")
        self.chance = random.Random(seed)

    def clean(self):
        for ending in ("", ".hints", ".lock"):
            pathlib.Path(f"{self.file}{ending}").unlink(missing_ok=True)

    def server(self, *arguments):
        server = Server(config=self.config, arguments=arguments, folder=self.folder)
        if self.folder is None:
            self.folder, server.own_folder = server.folder, None
            self.addCleanup(shutil.rmtree, server.folder, ignore_errors=True)
        self.addCleanup(server.remove)
        return server.start()

    def crew(self):
        url = f"unix:{self.folder / 'fb.sock'}"
        crew = subprocess.Popen([CREW, url, str(MILLISECONDS)], stdout=subprocess.PIPE, text=True,
                                env=clean_environment())
        self.addCleanup(lambda: crew.poll() is None and crew.kill())
        return crew

    def finish(self, crew):
        said, _ = crew.communicate(timeout=PATIENCE)
        self.assertEqual(crew.returncode, 0)
        return {name: int(number) for name, number in (pair.split("=") for pair in said.split())}

    def test_they_read_it_without_asking(self):
        server = self.server()
        counts = self.finish(self.crew())
        self.assertEqual(counts["failures"], 0)
        self.assertGreater(counts["region_hits"], counts["hits"] / 2)
        self.assertEqual(server.stop(), 0)

    def outlive(self, *arguments):
        """Nobody sees a wrong value, however the daemon ends and begins."""
        server = self.server(*arguments)
        kills, counts = 0, collections.Counter()
        for _ in range(5):  # where a daemon takes long to begin, one crew does not see enough of them
            crew = self.crew()
            while crew.poll() is None:
                time.sleep(self.chance.uniform(0, 0.4))  # the daemon's life, not a wait for anything
                server.stop(self.chance.choice((signal.SIGKILL, signal.SIGKILL, signal.SIGTERM)))
                kills += 1
                time.sleep(self.chance.choice((0, 0, self.chance.uniform(0, 0.3))))
                server = self.server(*arguments)
            counts.update(self.finish(crew))
            if kills > 3 and counts["region_hits"] and counts["failures"]:
                break
        print(kills, dict(counts))
        self.assertGreater(kills, 3)
        for name in ("region_hits", "failures", "acknowledged"):
            self.assertGreater(counts[name], 0, name)
        self.assertEqual(server.stop(), 0)

    def test_they_outlive_daemons_that_begin_anew(self):
        self.outlive()

    def test_they_outlive_daemons_that_keep_their_memory(self):
        self.outlive("--keep-memory")


if __name__ == "__main__":
    main()
