"""Builds the package forebay: a build backend (PEP 517, PEP 660) of the package's own.

It needs no other package, so that `pip install` works without a registry. The extension module is
compiled from native/ here and from forebay's own C sources, which `tools/client-sources` of the
repository lists; an sdist brings them along in csrc/. Wheels are zip files with three text files of
metadata (PEP 427), which is all that the rest of a build system would do here.

FOREBAY_SOURCE names the repository where this folder has been copied away from it. CC and CFLAGS
are what they are everywhere.
"""

import base64
import concurrent.futures
import hashlib
import io
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import zipfile

HERE = pathlib.Path(__file__).resolve().parent.parent
PACKAGE = HERE / "src/forebay"
MODULE = "_native" + (sysconfig.get_config_var("EXT_SUFFIX") or ".so")
LAYERS = ("base", "wire", "store", "cache", "client")
# A fixed time in archives: the same sources give the same bytes.
LONG_AGO = (1980, 1, 1, 0, 0, 0)


class BuildFailed(SystemExit):
    def __init__(self, text):
        super().__init__("\nforebay cannot be built: " + text + "\n")


# ------------------------------------------------------------------------------------- the project

def project():
    """What the table [project] of pyproject.toml has as strings. (Python has a TOML reader since
    3.11 only.)"""
    text = (HERE / "pyproject.toml").read_text()
    table = text[text.index("[project]"):].split("\n[", 1)[0]
    return dict(re.findall(r'(?m)^([\w-]+) = "(.*)"$', table))


def metadata():
    about = project()
    return (f"Metadata-Version: 2.1\nName: {about['name']}\nVersion: {about['version']}\n"
            f"Summary: {about['description']}\nRequires-Python: {about['requires-python']}\n"
            "Description-Content-Type: text/markdown\n\n" + (HERE / about["readme"]).read_text())


def name_version():
    about = project()
    return f"{about['name']}-{about['version']}"


# ------------------------------------------------------------------------------------- the sources

def source_root():
    """The folder with include/ and src/ of forebay."""
    for root in (HERE / "csrc", HERE.parent.parent, pathlib.Path(os.environ.get("FOREBAY_SOURCE", HERE))):
        if (root / "include/forebay/client.h").is_file():
            return root
    raise BuildFailed(
        "its C sources are not here. This folder belongs into forebay's repository, as clients/python. "
        "A pip before 21.3 builds in a copy of it: upgrade pip, or name the repository in the "
        "environment variable FOREBAY_SOURCE.")


def c_files(root):
    if root == HERE / "csrc":
        return sorted(path.relative_to(root).as_posix() for path in root.glob("src/*/*.c"))
    return subprocess.run([str(root / "tools/client-sources")], check=True, stdout=subprocess.PIPE,
                          universal_newlines=True).stdout.split()


def header_files(root):
    folders = ["include/forebay"] + [f"src/{layer}" for layer in LAYERS]
    return [path.relative_to(root).as_posix() for folder in folders
            for path in sorted((root / folder).glob("*.h"))]


# ------------------------------------------------------------------------------------- compiling

def compiler():
    words = shlex.split(os.environ.get("CC", "")) or ["cc"]
    if shutil.which(words[0]) is None:
        words = words if os.environ.get("CC") else ["gcc"]
    if shutil.which(words[0]) is None:
        raise BuildFailed(f"there is no C compiler ({words[0]}). On Debian: apt install gcc libc6-dev")
    return words


def include_folders():
    paths = sysconfig.get_paths()
    return list(dict.fromkeys([paths["include"], paths["platinclude"]]))


def flags(root):
    words = ["-std=gnu11", "-D_GNU_SOURCE", f'-DFB_VERSION="{project()["version"]}"', "-O3",
             "-DNDEBUG", "-fPIC", "-fvisibility=hidden", "-fno-common", "-pthread", "-fno-strict-overflow"]
    words += [f"-I{root / 'include'}", f"-I{root / 'src'}"]
    for folder in include_folders():
        words += ["-isystem", folder]
    return words + shlex.split(os.environ.get("CFLAGS", ""))


def has_header(command, name):
    run = subprocess.run(command + ["-E", "-x", "c", "-"], input=f"#include <{name}>\n",
                         universal_newlines=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return run.returncode == 0


def check_headers(command):
    """Whatever is missing is named by the package that has it, before the compiler says something
    longer."""
    python = "python3-dev" if sys.prefix == "/usr" or sys.base_prefix == "/usr" else \
        "the headers of this Python"
    for name, package in (("stdio.h", "libc6-dev"), ("Python.h", python), ("xxhash.h", "libxxhash-dev")):
        if not has_header(command, name):
            raise BuildFailed(f"the header {name} is missing. On Debian: apt install {package}"
                              if not package.startswith("the ") else
                              f"the header {name} is missing: install {package} ({sys.executable})")


def run(command):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          universal_newlines=True)
    if done.returncode != 0:
        raise BuildFailed(f"the compiler failed:\n{shlex.join(command)}\n{done.stdout}")


def build_module(target):
    """Compiles the extension module to the file `target`."""
    root = source_root()
    command = compiler()
    common = flags(root)
    check_headers(command + common)
    with tempfile.TemporaryDirectory(prefix="forebay-build.") as folder:
        sources = [str(root / name) for name in c_files(root)]
        sources += sorted(str(path) for path in (HERE / "native").glob("*.c"))
        objects = [os.path.join(folder, f"{i}.o") for i in range(len(sources))]
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(lambda pair: run(command + common + ["-c", pair[0], "-o", pair[1]]),
                          zip(sources, objects)))
        # Nothing but the module's entry is to be seen: a program may hold another libforebay.
        exports = os.path.join(folder, "exports.map")
        pathlib.Path(exports).write_text("{ global: PyInit__native; local: *; };\n")
        run(command + ["-shared", "-pthread", f"-Wl,--version-script={exports}", "-Wl,-O1",
                       *shlex.split(os.environ.get("LDFLAGS", "")), "-o", str(target), *objects, "-lm"])


# ---------------------------------------------------------------------------------------- wheels

def tag():
    """cp311-cp311-linux_x86_64: this interpreter, its ABI, this machine."""
    interpreter = "cp{}{}".format(*sys.version_info[:2])
    abi = sysconfig.get_config_var("SOABI") or ""
    found = re.match(r"cpython-(\d+[a-z]*)", abi)
    platform = re.sub(r"[-.]", "_", sysconfig.get_platform())
    return f"{interpreter}-{'cp' + found[1] if found else interpreter}-{platform}"


class Wheel:
    def __init__(self, folder):
        self.name = f"{name_version()}-{tag()}.whl"
        self.info = f"{name_version()}.dist-info"
        self.zip = zipfile.ZipFile(os.path.join(folder, self.name), "w", zipfile.ZIP_DEFLATED)
        self.rows = []

    def add(self, name, data, executable=False):
        entry = zipfile.ZipInfo(name, LONG_AGO)
        entry.compress_type = zipfile.ZIP_DEFLATED
        entry.external_attr = (0o100755 if executable else 0o100644) << 16
        self.zip.writestr(entry, data)
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        self.rows.append(f"{name},sha256={digest},{len(data)}")

    def finish(self):
        for name, text in info_files().items():
            self.add(f"{self.info}/{name}", text.encode())
        self.rows.append(f"{self.info}/RECORD,,")
        self.zip.writestr(zipfile.ZipInfo(f"{self.info}/RECORD", LONG_AGO), "\n".join(self.rows) + "\n")
        self.zip.close()
        return self.name


def info_files():
    return {"METADATA": metadata(),
            "WHEEL": f"Wheel-Version: 1.0\nGenerator: forebay_build\nRoot-Is-Purelib: false\nTag: {tag()}\n",
            "top_level.txt": "forebay\n"}


def package_files():
    return sorted(path for path in PACKAGE.iterdir() if path.suffix in (".py", ".pyi", ".typed")
                  or path.name == "py.typed")


# ------------------------------------------------------------- the hooks, by the names of PEP 517

def get_requires_for_build_wheel(config_settings=None):
    return []


get_requires_for_build_sdist = get_requires_for_build_wheel
get_requires_for_build_editable = get_requires_for_build_wheel


def prepare_metadata_for_build_wheel(metadata_directory, config_settings=None):
    folder = pathlib.Path(metadata_directory, f"{name_version()}.dist-info")
    folder.mkdir()
    for name, text in info_files().items():
        (folder / name).write_text(text)
    return folder.name


prepare_metadata_for_build_editable = prepare_metadata_for_build_wheel


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    with tempfile.TemporaryDirectory(prefix="forebay-wheel.") as folder:
        module = pathlib.Path(folder, MODULE)
        build_module(module)
        wheel = Wheel(wheel_directory)
        for path in package_files():
            wheel.add(f"forebay/{path.name}", path.read_bytes())
        wheel.add(f"forebay/{MODULE}", module.read_bytes(), executable=True)
        return wheel.finish()


def build_editable(wheel_directory, config_settings=None, metadata_directory=None):
    """The Python files stay here, and the module is put beside them: what is changed in native/ is
    there after the next `pip install -e`."""
    build_module(PACKAGE / MODULE)
    wheel = Wheel(wheel_directory)
    wheel.add("forebay.pth", (str(HERE / "src") + "\n").encode())
    return wheel.finish()


def build_sdist(sdist_directory, config_settings=None):
    root = source_root()
    base = name_version()
    name = f"{base}.tar.gz"
    files = {"PKG-INFO": metadata().encode()}
    for path in sorted(HERE.rglob("*")):
        inner = path.relative_to(HERE).as_posix()
        if path.is_file() and "__pycache__" not in inner and path.suffix != ".so" and \
                not inner.startswith("csrc/"):
            files[inner] = path.read_bytes()
    for inner in c_files(root) + header_files(root):
        files[f"csrc/{inner}"] = (root / inner).read_bytes()
    with tarfile.open(os.path.join(sdist_directory, name), "w:gz", format=tarfile.PAX_FORMAT) as archive:
        for inner, data in files.items():
            entry = tarfile.TarInfo(f"{base}/{inner}")
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return name
