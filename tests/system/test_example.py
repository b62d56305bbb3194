#!/usr/bin/python3
"""test_example.py PROGRAM SOURCE: an example ends well, and prints what the comment at its head says.

The lines that it prints stand there under "It prints:", as comments that are indented by five; a … in
one of them stands for anything. It runs in an empty folder.
"""

import difflib
import os
import pathlib
import re
import subprocess
import sys
import tempfile

PATIENCE = 110
# Words for those that take some; there is no server here.
WORDS = {"reader": ["unix:none.sock"]}


def expected(source):
    head = re.match(r"(?://.*\n)*", source.read_text()).group(0)
    told = re.search(r"^//\n// It prints(?: [^:\n]*)?:\n//\n((?://     .*\n)+)", head, re.MULTILINE)
    return [line[len("//     "):] for line in told.group(1).splitlines()] if told else None


def same(told, printed):
    pattern = ".*".join(re.escape(part) for part in told.split("…"))
    return re.fullmatch(pattern, printed) is not None


def main():
    program, source = pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2])
    environment = {name: value for name, value in os.environ.items() if not name.startswith("FOREBAY_")}
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run([program, *WORDS.get(source.stem, [])], cwd=folder, text=True,
                              capture_output=True, timeout=PATIENCE, env=environment)
    print(done.stdout, end="")
    print(done.stderr, end="", file=sys.stderr)
    if done.returncode != 0:
        sys.exit(f"{source.name}: exit status {done.returncode}")
    told, printed = expected(source), done.stdout.splitlines()
    if told is not None and (len(told) != len(printed) or not all(map(same, told, printed))):
        sys.exit("\n".join(difflib.unified_diff(told, printed, f"{source.name} says", "it printed",
                                                lineterm="")))


if __name__ == "__main__":
    main()
