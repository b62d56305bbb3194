"""The stubs say what the modules have: names, parameters, their kinds and defaults."""

import ast
import inspect
import pathlib
import sys
import unittest

import forebay
from forebay import _cached, _native, errors

FOLDER = pathlib.Path(forebay.__file__).parent
KINDS = inspect.Parameter


def read(name):
    return ast.parse((FOLDER / name).read_text())


def functions(body):
    return {node.name: node for node in body if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))}


def shape_of_stub(node):
    """[(name, kind, default)] without self."""
    args = node.args
    places = args.posonlyargs + args.args
    defaults = [None] * (len(places) - len(args.defaults)) + args.defaults
    shape = [(arg.arg, KINDS.POSITIONAL_ONLY if i < len(args.posonlyargs) else KINDS.POSITIONAL_OR_KEYWORD, default)
             for i, (arg, default) in enumerate(zip(places, defaults))]
    shape += [(arg.arg, KINDS.KEYWORD_ONLY, default) for arg, default in zip(args.kwonlyargs, args.kw_defaults)]
    shape += [(args.kwarg.arg, KINDS.VAR_KEYWORD, None)] if args.kwarg else []
    return [(name, kind, KINDS.empty if default is None else ast.literal_eval(default))
            for name, kind, default in shape if name != "self"]


def shape_of(function):
    return [(one.name, one.kind, one.default) for one in inspect.signature(function).parameters.values()
            if one.name != "self"]


class Stubs(unittest.TestCase):
    def test_the_native_modules_functions(self):
        for name, node in functions(read("_native.pyi").body).items():
            self.assertEqual(shape_of_stub(node), shape_of(getattr(_native, name)), name)
        has = {name for name in vars(_native) if not name.startswith("__")}
        self.assertEqual(has, set(functions(read("_native.pyi").body)) | {"Client"})

    def test_the_clients_methods(self):
        stub = functions(next(node for node in read("_native.pyi").body if isinstance(node, ast.ClassDef)).body)
        own = {name for name, value in vars(_native.Client).items() if callable(value) and not name.startswith("__")}
        self.assertEqual(own, {name for name in stub if not name.startswith("__")})
        for name in own:
            self.assertEqual(shape_of_stub(stub[name]), shape_of(getattr(_native.Client, name)), name)
        if sys.version_info >= (3, 9):  # before, such a type does not tell
            self.assertEqual(shape_of_stub(stub["__init__"]), shape_of(_native.Client))

    def test_the_decorated_functions(self):
        stub = next(node for node in read("_cached.pyi").body if isinstance(node, ast.ClassDef) and node.name == "Cached")
        names = {name for name in functions(stub.body) if not name.startswith("__")}

        @forebay.cached(ttl=1)
        def f(): ...
        self.assertEqual(names, {name for name in vars(f) if not name.startswith("__")})
        self.assertEqual(shape_of_stub(functions(read("_cached.pyi").body)["decorator"]), shape_of(_cached.decorator))

    def test_everything_public_is_told(self):
        for module in (forebay, errors):
            for name in module.__all__:
                self.assertTrue(getattr(module, name).__doc__, name)
        self.assertEqual(set(errors.__all__) - set(forebay.__all__), set())
        for name, value in vars(_native.Client).items():
            if callable(value) and not name.startswith("_"):
                self.assertTrue(value.__doc__, name)

    def test_the_hot_path_is_the_c_method_itself(self):
        self.assertIs(forebay.Client.get, _native.Client.get)
        self.assertIs(type(forebay.Client.get), type(str.join))


if __name__ == "__main__":
    unittest.main()
