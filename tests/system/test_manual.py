#!/usr/bin/python3
"""What the program says of itself to people and to shells: manual pages, completion. Both are made from its
own tables, so that here it is asked whether all of it arrives, and whether it is in order."""

import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

from forebay import PATIENCE, ROOT, TestCase, clean_environment, main, run

COMMANDS = re.findall(r"(?m)^  ([a-z]+) ", run("help").stdout)


def options(command):
    return re.findall(r"(?m)^  (--[a-z-]+)", run("help", command).stdout)


def shell(*words, script=None):
    """What it prints. A home of its own: nobody's settings are read."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(words, input=script, text=True, capture_output=True, timeout=PATIENCE, cwd=folder,
                              env=clean_environment({"HOME": folder, "LANG": "C.UTF-8", "PATH": os.environ["PATH"]}))
    assert done.returncode == 0, (words, done.stdout, done.stderr)
    return done.stdout


class Bash(TestCase):
    def complete(self, *words):
        """What bash would offer for the last of these words."""
        line = " ".join(f"'{word}'" for word in ("forebay", *words))
        script = run("completion", "bash").stdout + f"""
            touch one.yaml 'two words.yaml'
            COMP_WORDS=({line}) COMP_CWORD={len(words)}
            _forebay
            printf '%s\\n' "${{COMPREPLY[@]}}"
        """
        return [word for word in shell("bash", "--norc", "--noprofile", "-u", script=script).splitlines() if word]

    def test_commands(self):
        self.assertEqual(set(self.complete("")), {*COMMANDS, "--help", "--version"})
        self.assertEqual(self.complete("jo"), ["jobs"])
        self.assertEqual(self.complete("nothing"), [])

    def test_the_options_of_each_command(self):
        for command in COMMANDS:
            self.assertEqual(set(self.complete(command, "--")), set(options(command)), command)

    def test_first_words(self):
        self.assertEqual(self.complete("limit", "s"), ["show"])
        self.assertEqual(self.complete("jobs", "re"), ["retry", "resume"])
        self.assertEqual(self.complete("bench", "t"), ["trace"])
        self.assertEqual(self.complete("invalidate", "a"), ["all"])
        self.assertEqual(self.complete("help", "ser"), ["serve"])
        self.assertEqual(self.complete("get", ""), [])

    def test_the_words_that_an_option_takes(self):
        self.assertEqual(self.complete("top", "--window", ""), ["minute", "hour", "start"])
        self.assertEqual(self.complete("bench", "load", "--arrivals", "e"), ["even"])
        self.assertEqual(self.complete("jobs", "list", "--state", "l"), ["leased"])
        self.assertEqual(self.complete("get", "a", "--timeout", ""), [])

    def test_files_where_files_are_meant(self):
        self.assertEqual(sorted(self.complete("serve", "--config", "")), ["one.yaml", "two words.yaml"])
        self.assertEqual(self.complete("serve", "-c", "one"), ["one.yaml"])
        self.assertEqual(self.complete("check", "tw"), ["two words.yaml"])
        self.assertEqual(self.complete("get", "--url", "one"), [])


@unittest.skipUnless(shutil.which("zsh"), "there is no zsh")
class Zsh(TestCase):
    def test_what_it_offers(self):
        script = run("completion", "zsh").stdout.replace("if [[ $funcstack", "if false && [[ $funcstack") \
            .replace("    compdef _forebay forebay", "    :") + """
            _describe() { [[ $1 == -o ]] && shift; print -rl -- ${(P)2}; }
            _files() { print files; }
            compadd() { print -rl -- ${(P)2}; }
            ask() { words=(forebay "$@"); CURRENT=$#words; PREFIX=$words[-1]; _forebay; print '====='; }
            ask ''; ask limit ''; ask serve --; ask serve --config ''; ask check ''; ask get --url ''
            ask top --window ''
        """
        said = shell("zsh", "-f", script=script)
        commands, limit, serve, config, check, url, window = [
            part.split("\n") for part in said.split("=====\n")[:7]]
        self.assertEqual([line.split(":")[0] for line in commands if line], COMMANDS)
        self.assertEqual([word for word in limit if word], ["check", "show", "reset", "override"])
        self.assertEqual([line.split(":")[0] for line in serve if line], options("serve"))
        self.assertEqual([config, check, url], [["files", ""], ["files", ""], [""]])
        self.assertEqual(window, ["minute", "hour", "start", ""])


@unittest.skipUnless(shutil.which("fish"), "there is no fish")
class Fish(TestCase):
    def complete(self, *words):
        script = run("completion", "fish").stdout + "\n".join(
            f"complete -C '{word}'; echo =====" for word in words) + "\n"
        said = shell("fish", "--no-config", script=script)
        return [[line.split("\t")[0] for line in part.splitlines()] for part in said.split("=====\n")[:len(words)]]

    def test_what_it_offers(self):
        commands, limit, window = self.complete("forebay ", "forebay limit ", "forebay top --window ")
        self.assertEqual(sorted(commands), sorted(COMMANDS))
        self.assertEqual(sorted(limit), ["check", "override", "reset", "show"])
        self.assertEqual(sorted(window), ["hour", "minute", "start"])


class Completion(TestCase):
    def test_another_shell_is_refused(self):
        done = run("completion", "tcsh")
        self.assertEqual((done.returncode, done.stdout), (2, ""))
        self.assertIn("bash, zsh and fish", done.stderr)


class Manual(TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder.cleanup)
        subprocess.run([ROOT / "tools/make-manual", cls.folder.name, "1.2.3"], check=True, timeout=PATIENCE)
        cls.pages = sorted(pathlib.Path(cls.folder.name).iterdir())

    def test_there_are_those_that_are_listed(self):
        listed = subprocess.run([ROOT / "tools/make-manual", "--list"], check=True, text=True,
                                capture_output=True, timeout=PATIENCE).stdout.split()
        self.assertEqual([page.name for page in self.pages], sorted(listed))

    def test_the_commands_and_their_options_are_there(self):
        text = pathlib.Path(self.folder.name, "forebay.1").read_text().replace("\\-", "-")
        for command in COMMANDS:
            part = re.search(rf"^\.SS forebay {command}\b(.*?)^\.S[SH]", text, re.MULTILINE | re.DOTALL)
            self.assertIsNotNone(part, command)
            self.assertEqual(re.findall(r"^\\fB(--[a-z-]+)\\fR", part.group(1), re.MULTILINE), options(command))

    def test_the_variables_that_the_program_asks_for_are_there(self):
        asked = {name for folder in ("cli", "daemon") for path in (ROOT / "src" / folder).glob("*.c")
                 for name in re.findall(r'getenv\("(FOREBAY_\w+)"\)', path.read_text())}
        self.assertGreater(len(asked), 3)
        text = pathlib.Path(self.folder.name, "forebay.1").read_text()
        for name in asked:
            self.assertIn(f"\\fB{name}\\fR", text)

    def test_the_options_of_the_configuration_are_there(self):
        page = (ROOT / "docs/configuration.md").read_text()
        text = pathlib.Path(self.folder.name, "forebay.yaml.5").read_text().replace("\\-", "-")
        wanted = re.findall(r"^\| `([^`]+)`", page, re.MULTILINE)
        self.assertGreater(len(wanted), 100)
        for name in wanted:
            self.assertIn(f"\\fB{name}\\fR", text)

    @unittest.skipUnless(shutil.which("man") and shutil.which("groff"), "there is no man")
    def test_man_has_no_complaint(self):
        for page in self.pages:
            done = subprocess.run(["man", "--warnings", "-l", "-Tutf8", page], text=True, capture_output=True,
                                  timeout=PATIENCE, env=clean_environment({"MANWIDTH": "100", "LANG": "C.UTF-8",
                                                         "MAN_DISABLE_SECCOMP": "1"}))
            self.assertEqual((done.returncode, done.stderr), (0, ""), page.name)

    @unittest.skipUnless(shutil.which("mandoc"), "there is no mandoc")
    def test_mandoc_has_no_complaint(self):
        done = subprocess.run(["mandoc", "-Tlint", "-W", "warning", *self.pages], text=True, capture_output=True,
                              timeout=PATIENCE)
        self.assertEqual(done.stdout, "")


if __name__ == "__main__":
    main()
