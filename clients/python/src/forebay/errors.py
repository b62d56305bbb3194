"""What can go wrong, with what the daemon said about it as the text.

Each class is also the built-in exception that it is a case of, where there is one: so `except
ConnectionError` and `except TimeoutError` (the built-in ones) mean what they say.
"""

import builtins

__all__ = ["Error", "Unavailable", "TimeoutError", "Overloaded", "SourceError", "NoSuchClass",
           "TooBig", "BadRequest"]


class Error(Exception):
    """Any failure that forebay reports."""


class Unavailable(Error, ConnectionError):
    """No daemon answers, and private memory cannot do this instead."""


class TimeoutError(Error, builtins.TimeoutError):
    """It took longer than was allowed."""


class Overloaded(Error):
    """Too many wait for the same source already."""


class SourceError(Error):
    """The source behind a class failed or refused."""


class NoSuchClass(Error, LookupError):
    """The daemon's configuration declares no such class, or namespace."""


class TooBig(Error, ValueError):
    """Key and value together are larger than one entry may be."""


class BadRequest(Error, ValueError):
    """The request makes no sense: a parameter is missing, a value is no number, …"""
