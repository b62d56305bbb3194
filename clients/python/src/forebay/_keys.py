"""Keys of cached functions' results; the text of the arguments is made in native/keys.c."""

import functools
import hashlib
import inspect
import operator
import os

from . import _native

# A key with its arguments in the clear is at most so long; longer ones end in a digest.
CLEAR_MAX = 200


def prefix_of(function):
    """A name for the function that is the same in every process. A module that is run as a program
    is called __main__ whatever it is, so there it is the file that counts."""
    module = function.__module__
    if module in ("__main__", "__mp_main__"):
        module = os.path.abspath(function.__code__.co_filename)
    return f"{module}.{function.__qualname__}"


def digest(prefix, key):
    rest = key[len(prefix):].encode()
    return f"{prefix}#{hashlib.blake2b(rest, digest_size=16).hexdigest()}"


class Binder:
    """The values of a function's parameters, however a call gave them. Those of *args and **kwargs
    are a list and an object at their places.

    inspect's own binding takes microseconds, more than a look into memory; so what most calls are
    is done here: places from the left, defaults to the right, names in between.
    """

    def __init__(self, signature):
        self.signature = signature
        self.names = tuple(signature.parameters)
        parameters = signature.parameters.values()
        kinds = [parameter.kind for parameter in parameters]
        empty = inspect.Parameter.empty
        self.simple = not {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD} & set(kinds)
        self.places = sum(kind is not inspect.Parameter.KEYWORD_ONLY for kind in kinds)
        self.defaults = tuple(parameter.default for parameter in parameters)
        # A call with so many places at least lacks nothing.
        self.needed = max((i + 1 for i, default in enumerate(self.defaults) if default is empty), default=0)
        self.index = {name: i for i, name in enumerate(self.names)
                      if kinds[i] is not inspect.Parameter.POSITIONAL_ONLY}

    def __call__(self, args, kwargs):
        given = len(args)
        if self.simple and given <= self.places:
            values = args + self.defaults[given:]
            if not kwargs:
                if given >= self.needed:
                    return values
            else:
                values = self.with_names(values, given, kwargs)
                if values is not None:
                    return values
        return self.slowly(args, kwargs)

    def with_names(self, values, given, kwargs):
        values = list(values)
        for name, value in kwargs.items():
            i = self.index.get(name, -1)
            if i < given:
                return None
            values[i] = value
        empty = inspect.Parameter.empty
        return None if any(value is empty for value in values) else tuple(values)

    def slowly(self, args, kwargs):
        """And with the errors that Python has for wrong calls."""
        bound = self.signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return tuple(bound.arguments.values())


def without_first(bind):
    """What takes self out of the values of a method's parameters, or of their names."""
    kinds = [parameter.kind for parameter in bind.signature.parameters.values()]
    if kinds and kinds[0] is inspect.Parameter.VAR_POSITIONAL:
        # It is the first of *args.
        return lambda values: (values[0] if isinstance(values[0], str) else values[0][1:],) + values[1:]
    if not kinds or kinds[0] in (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.VAR_KEYWORD):
        raise TypeError("method=True: this function takes no self")
    return operator.itemgetter(slice(1, None))


def key_maker(function, method):
    """make(args, kwargs): the key of a call."""
    bind = Binder(inspect.signature(function))
    prefix = prefix_of(function)
    leave_out = without_first(bind) if method else None
    names = leave_out(bind.names) if leave_out else bind.names
    write = functools.partial(_native.make_key, prefix, function.__qualname__, names)

    def make(args, kwargs):
        values = bind(args, kwargs)
        key = write(leave_out(values) if leave_out else values)
        return key if len(key) <= CLEAR_MAX else digest(prefix, key)

    return make
