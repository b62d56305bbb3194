#!/usr/bin/python3
"""What the pages say is so: the tour's outputs, links, files, names, and the command line's help."""

import pathlib
import re
import subprocess
import tempfile

from forebay import PATIENCE, PROGRAM, ROOT, TestCase, clean_environment, main, run

PAGES = [ROOT / name for name in ("README.md", "ARCHITECTURE.md", "CHANGELOG.md", "tests/README.md")]
PAGES += sorted((ROOT / "docs").rglob("*.md")) + sorted((ROOT / "clients").glob("*/README.md"))


class Pages(TestCase):
    def test_the_tour_still_looks_like_that(self):
        with tempfile.TemporaryDirectory() as folder:
            build = pathlib.Path(folder, "build")
            build.mkdir()
            (build / "forebay").symlink_to(PROGRAM)
            done = subprocess.run([ROOT / "tools/tour", "--check"], text=True, capture_output=True,
                                  timeout=PATIENCE, env=clean_environment({
                                      "BUILD": str(build), "PACKAGES": "2000",
                                      "CATALOGUE": str(pathlib.Path(folder, "catalogue.db"))}))
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_links_lead_somewhere(self):
        for page in PAGES:
            for link in re.findall(r"\]\(([^)#\s]+)", page.read_text()):
                if "://" not in link:
                    self.assertTrue((page.parent / link).exists(), f"{page.name}: {link}")

    def test_files_that_are_named_are_there(self):
        for page in PAGES:
            for name in re.findall(r"`((?:src|include|tests|tools|examples|docs|bench)/[\w./-]+)`",
                                   page.read_text()):
                self.assertTrue((ROOT / name).exists(), f"{page.name}: {name}")

    def test_functions_that_are_named_are_there(self):
        sources = "\n".join(path.read_text() for folder in ("src", "include")
                            for path in sorted((ROOT / folder).rglob("*.[ch]")))
        for page in PAGES:
            for name in re.findall(r"`(fb_\w+)(?:\(\))?`", page.read_text()):
                self.assertTrue(re.search(rf"\b{name}\b", sources), f"{page.name}: {name}")

    def test_the_layers_of_architecture_are_those_of_the_build(self):
        lines = (ROOT / "tools/layers.txt").read_text().splitlines()
        layers = [line.split()[:2] for line in lines if line and not line.startswith("#")]
        told = re.findall(r"^\| `(\w+)/` \| (\w+) \|", (ROOT / "ARCHITECTURE.md").read_text(), re.MULTILINE)
        self.assertEqual([list(row) for row in told], layers)

    def test_the_command_line_page_is_the_programs_help(self):
        page = (ROOT / "docs/command-line.md").read_text()
        whole = run("help").stdout
        self.assertIn(whole, page)
        for name in re.findall(r"(?m)^  ([a-z]+) ", whole):
            self.assertIn(f"### {name}\n\n```\n{run('help', name).stdout}```\n", page,
                          "run tools/make-reference")

    def test_configurations_in_the_pages_are_valid(self):
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run([ROOT / "tools/catalogue", f"{folder}/catalogue.db", "50"], check=True,
                           capture_output=True)
            for page in PAGES:
                for number, text in enumerate(re.findall(r"(?m)^```yaml\n(.*?)^```", page.read_text(), re.DOTALL)):
                    file = pathlib.Path(folder, f"{page.stem}-{number}.yaml")
                    file.write_text(text)
                    done = run("check", file)
                    self.assertEqual(done.returncode, 0, f"{page}: {done.stderr}")


if __name__ == "__main__":
    main()
