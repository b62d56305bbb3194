#!/usr/bin/python3
"""Shows that the checks of `make check` fail, with the right words, on trees that break the rules.

Each test builds a small tree in a temporary folder, breaks one rule in it, and reads the findings.
"""

import pathlib
import subprocess
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[3]

LAYERS = """# comment
base   pure    public
store  pure    public base <pthread.h>
os     driver  public base
door   driver  public base
cli    program public base os
"""

GOOD = {
    "tools/layers.txt": LAYERS,
    "include/forebay/base.h": "#include <stddef.h>\nint fb_public(int number);\n",
    "src/base/str.h": "#include <forebay/base.h>\nint fb_str_len(void);\n",
    "src/base/str.c": '#include "base/str.h"\n#include <string.h>\nint fb_str_len(void) { return 1; }\n',
    "src/store/store.c": '#include "base/str.h"\n#include <pthread.h>\n',
    "src/os/clock.h": "#include <time.h>\n",
    "src/door/door.c": "#include <sys/socket.h>\n",
    "src/cli/main.c": '#include "os/clock.h"\n',
    "examples/embed.c": "#include <forebay/base.h>\n#include <stdio.h>\n",
}


class Tree(unittest.TestCase):
    """A tree in a temporary folder, and what a check says of it."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="forebay-checks.")
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name)
        for path, text in GOOD.items():
            self.write(path, text)

    def write(self, path, text):
        full = self.root / path
        full.parent.mkdir(parents=True, exist_ok=True)
        full.write_text(text)

    def append(self, path, text):
        self.write(path, (self.root / path).read_text() + text)

    def run_check(self, name, *arguments):
        return subprocess.run([str(ROOT / "tools" / name), str(self.root), *arguments],
                              capture_output=True, text=True)

    def layers(self, *arguments):
        return self.run_check("check-layers", *arguments)

    def style(self):
        return self.run_check("check-style", "--objects", str(self.root / "build"))

    def assert_style_finding(self, *words):
        result = self.style()
        self.assertEqual(result.returncode, 1, result.stdout + result.stderr)
        lines = [line for line in result.stdout.splitlines() if not line.startswith(("note: ", "style: "))]
        self.assertEqual(len(lines), 1, result.stdout)
        for word in words:
            self.assertIn(word, lines[0])

    def assert_finding(self, *words):
        result = self.layers()
        self.assertEqual(result.returncode, 1, result.stdout + result.stderr)
        lines = result.stdout.splitlines()
        self.assertEqual(len(lines), 1, result.stdout)
        for word in words:
            self.assertIn(word, lines[0])

    def compile(self, path, text):
        """Compiles a source to where the check looks for a layer's objects, in build/."""
        self.write(path, text)
        layer = pathlib.Path(path).parts[1]
        folder = self.root / f"build/libfb_{layer}.a.p"
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run(["cc", "-c", str(self.root / path), "-o", str(folder / (path.replace("/", "_") + ".o")),
                        f"-I{self.root}/include", f"-I{self.root}/src", "-fvisibility=hidden"], check=True)


class Layers(Tree):
    def test_layers__passes_a_tree_that_keeps_the_rules(self):
        result = self.layers()
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        self.assertIn("nothing crossed", result.stdout)

    def test_layers__finds_an_include_of_a_layer_that_is_not_allowed(self):
        self.append("src/store/store.c", '#include "os/clock.h"\n')
        self.assert_finding('src/store/store.c:3: store/ may not include "os/clock.h"', "public, base")

    def test_layers__finds_a_spaced_include(self):
        self.append("src/door/door.c", '  #  include  "os/clock.h"\n')
        self.assert_finding("src/door/door.c:2:", "door/ may not include")

    def test_layers__finds_a_system_header_in_a_pure_layer(self):
        for header in ("time.h", "sys/socket.h", "pthread.h", "unistd.h", "event2/event.h"):
            self.write("src/base/str.h", f"#include <{header}>\n")
            self.assert_finding("src/base/str.h:1: base/ is pure", f"may not include <{header}>")

    def test_layers__finds_a_private_header_in_a_public_one(self):
        self.append("include/forebay/base.h", '#include "base/str.h"\n')
        self.assert_finding("include/forebay/base.h:3: a public header may not include the private header")

    def test_layers__finds_a_system_header_in_a_public_one(self):
        self.append("include/forebay/base.h", "#include <event2/event.h>\n")
        self.assert_finding("include/forebay/base.h:3: a public header may not include <event2/event.h>")

    def test_layers__finds_a_private_header_in_an_example(self):
        self.append("examples/embed.c", '#include "base/str.h"\n')
        self.assert_finding("examples/embed.c:3: an example may include public headers only")

    def test_layers__finds_a_circle_and_names_it(self):
        self.write("tools/layers.txt", LAYERS.replace("os     driver  public base",
                                                      "os     driver  public base cli"))
        self.assert_finding("tools/layers.txt:4: the layers have a circle: os -> cli -> os")

    def test_layers__finds_a_layer_that_includes_a_later_one(self):
        self.write("tools/layers.txt", LAYERS.replace("os     driver  public base",
                                                      "os     driver  public base door"))
        self.assert_finding("tools/layers.txt:4: 'os' may include 'door', which is listed after it")

    def test_layers__finds_a_pure_layer_above_a_driver(self):
        self.write("tools/layers.txt", LAYERS + "node   pure    public os\n")
        self.write("src/node/node.c", "\n")
        self.assert_finding("tools/layers.txt:7: 'node' is pure and may not include 'os', which is a driver")

    def test_layers__finds_a_folder_that_is_no_layer(self):
        self.write("src/extra/extra.c", "\n")
        self.assert_finding("src/extra/extra.c:1: lies in no layer", "src/extra/")

    def test_layers__finds_a_listed_layer_without_a_folder(self):
        self.write("tools/layers.txt", LAYERS + "ghost  driver  public base\n")
        self.assert_finding("tools/layers.txt:7: src/ghost/ is listed but is not there")

    def test_layers__finds_a_short_path_and_one_with_dots(self):
        for header in ("str.h", "../base/str.h"):
            self.write("src/store/store.c", f'#include "{header}"\n')
            self.assert_finding("src/store/store.c:1: write", f'"{header}"')

    def test_layers__finds_a_forbidden_call_in_a_pure_object(self):
        self.compile("src/base/str.c", "#include <stdio.h>\nvoid fb_str_say(void);\n"
                                       'void fb_str_say(void) { printf("%d", 1); }\n')
        result = self.layers("--objects", str(self.root / "build"))
        self.assertEqual(result.returncode, 1)
        self.assertIn("src/base/str.c:3: base/ is pure", result.stdout)
        self.assertIn("may not use printf", result.stdout)

    def test_layers__allows_a_call_that_the_list_excepts(self):
        self.write("tools/layers.txt", LAYERS.replace("base   pure    public",
                                                      "base   pure    public printf()"))
        self.compile("src/base/str.c", "#include <stdio.h>\nvoid fb_str_say(void);\n"
                                       'void fb_str_say(void) { printf("%d", 1); }\n')
        result = self.layers("--objects", str(self.root / "build"))
        self.assertEqual(result.returncode, 0, result.stdout)

    def test_layers__finds_a_function_reached_by_a_declaration_of_ones_own(self):
        self.compile("src/os/clock.c", "int fb_clock_read(void) { return 1; }\n")
        self.compile("src/door/door.c", "int fb_clock_read(void);\nint fb_door_open(void);\n"
                                        "int fb_door_open(void) { return fb_clock_read(); }\n")
        result = self.layers("--objects", str(self.root / "build"))
        self.assertEqual(result.returncode, 1)
        self.assertIn("src/door/door.c:1: door/ may not use fb_clock_read() of os/", result.stdout)

    def test_layers__allows_a_public_function_of_any_layer(self):
        self.compile("src/os/clock.c", "int fb_public(int number) { return number; }\n")
        self.compile("src/door/door.c", "#include <forebay/base.h>\nint fb_door_open(void);\n"
                                        "int fb_door_open(void) { return fb_public(1); }\n")
        result = self.layers("--objects", str(self.root / "build"))
        self.assertEqual(result.returncode, 0, result.stdout)


class Style(Tree):
    def test_style__passes_a_tree_that_keeps_the_rules(self):
        self.compile("src/base/str.c", GOOD["src/base/str.c"])
        result = self.style()
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        self.assertIn("0 findings", result.stdout)

    def test_style__finds_a_header_that_needs_another_first(self):
        self.write("src/base/str.h", "#ifndef __cplusplus\nsize_t fb_str_len(void);\n#endif\n")
        self.assert_style_finding("src/base/str.h:1: does not compile alone as C", "size_t")

    def test_style__lets_a_private_header_with_atomics_be_c_alone(self):
        self.append("src/base/str.h", "#include <stdatomic.h>\nstruct a { _Atomic(int) b; _Atomic int c; };\n")
        self.write("src/os/clock.h", '#include "base/str.h"\n')
        self.assertEqual(self.style().returncode, 0, self.style().stdout)

    def test_style__finds_a_header_that_is_not_cpp(self):
        self.write("src/base/str.h", "int fb_str_len(int class);\n")
        self.assert_style_finding("src/base/str.h:1: does not compile alone as C++")

    def test_style__finds_a_global_symbol_without_our_prefix(self):
        self.write("src/base/str.h", "int str_len(void);\n")
        self.compile("src/base/str.c", "int str_len(void) { return 1; }\n")
        self.assert_style_finding("base: ", "str_len is not static and is not named fb_<module>_<verb>")

    def test_style__finds_a_global_symbol_that_no_header_declares(self):
        self.compile("src/base/str.c", "int fb_str_hidden(void) { return 1; }\n")
        self.assert_style_finding("fb_str_hidden is not static, and no header of src/base/ declares it")

    def test_style__leaves_the_object_of_a_removed_source_alone(self):
        self.compile("src/base/old.c", "int fb_old_hidden(void) { return 1; }\n")
        (self.root / "src/base/old.c").unlink()
        self.assertEqual(self.style().returncode, 0, self.style().stdout)

    def test_style__finds_an_exported_symbol_that_no_public_header_declares(self):
        self.compile("src/base/str.c", '#include "base/str.h"\n__attribute__((visibility("default")))'
                                       " int fb_str_len(void) { return 1; }\n")
        self.assert_style_finding("fb_str_len is exported, and no header of include/forebay declares it")

    def test_style__finds_a_public_function_that_nobody_wrote(self):
        self.write("include/forebay/base.h", "#define FB_API\nFB_API int fb_missing(void);\n")
        self.assert_style_finding("include/forebay/base.h:2: fb_missing() is public and nowhere defined")

    def test_style__finds_a_static_function_named_like_a_global_one(self):
        self.append("src/base/str.c", "static int fb_str_take(void) {\n    return 1;\n}\n")
        self.assert_style_finding("src/base/str.c:4: fb_str_take is static")

    def test_style__finds_work_left_as_a_note(self):
        self.append("src/base/str.c", "// TO" "DO: later\n")
        self.assert_style_finding("src/base/str.c:4: work left as a note")

    def test_style__reports_long_functions_without_failing(self):
        self.append("src/base/str.c", "static int take(int a, int (*b)(int, int), int c, int d, int e, int f) {\n"
                    + "    a++;\n" * 70 + "    return a;\n}\n")
        result = self.style()
        self.assertEqual(result.returncode, 0, result.stdout)
        self.assertIn("note: src/base/str.c:4: 73 lines in take()", result.stdout)
        self.assertIn("note: src/base/str.c:4: 6 parameters of take()", result.stdout)


if __name__ == "__main__":
    unittest.main()
