"""@cached: a function's results are kept in forebay.

A hit is a key made of the arguments and one look into memory. On a miss the daemon is asked, and
then the function, by one caller for all of this process who want the same: the first one leads a
*flight*, the others wait for it. What comes out, value or exception, is theirs too; an exception is
not kept. A leader that is cancelled or interrupted is no answer: one of those who wait leads anew.

A flight that was overtaken by invalidate() or refresh() is *doomed*: it answers who waits already,
and its result is not kept. Of an invalidation by another process a flight does not know.

Trouble with the cache never is trouble of the function: what cannot be read or kept because of it is
computed, and the logger "forebay" told.
"""

import asyncio
import concurrent.futures
import datetime
import functools
import inspect
import os
import threading
import weakref

from . import _keys, _native
from ._log import logger
from .errors import Error

MISSING = object()
# Seconds; as in native/arguments.c.
TTL_MAX = 100 * 366 * 86400
# What comes back from JSON as exactly what it was.
PLAIN = frozenset((str, int, float, bool, bytes, type(None)))


class Abandoned(Exception):
    """The leader of a flight went away; not seen outside."""


class Flight(concurrent.futures.Future):
    """Ends with the packed result of the function."""

    def __init__(self, owner):
        super().__init__()
        self.owner = owner
        self.doomed = False
        # From here on cancelling a coroutine that waits does not cancel the flight.
        self.set_running_or_notify_cancel()


class Results:
    """The results of one function: their keys, where they are kept, who computes them."""

    every = weakref.WeakSet()

    def __init__(self, function, find_client, ttl, key, method):
        self.function = function
        self.find_client = find_client
        self.ttl = ttl
        self.make_key = (lambda args, kwargs: key(*args, **kwargs)) if key else \
            _keys.key_maker(function, method)
        self.name = function.__qualname__
        self.flights = {}
        self.every.add(self)

    # The client is not there when the module that is being imported decorates with it; afterwards
    # these are its methods.

    def __getattr__(self, name):
        if name not in ("client", "peek"):
            raise AttributeError(name)
        self.client = self.find_client()
        self.peek = self.client._peek_result
        return getattr(self, name)

    # ---- what is kept

    def read(self, key):
        """The packed result, or None."""
        try:
            packed = self.client.get_bytes(key)
        except Error as error:
            logger.debug("%s: not read: %s", self.name, error)
            return None
        return packed

    def write(self, key, packed, flight):
        if flight.doomed:
            return
        try:
            self.client.set(key, packed, self.ttl)
            if flight.doomed:
                self.client.delete(key)
        except Error as error:
            logger.debug("%s: not kept: %s", self.name, error)

    def pack(self, value):
        try:
            return _native.pack(value)
        except (TypeError, ValueError) as error:
            # An error in a text (UnicodeError) is not made of a sentence.
            kind = TypeError if isinstance(error, TypeError) else ValueError
            raise kind(f"{self.name}(): its result cannot be kept: {error}") from error

    # ---- flights

    def board(self, key, owner):
        """(flight, whether the caller leads it); no flight: the caller is inside of it already."""
        flight = self.flights.get(key)
        if flight is None:
            mine = Flight(owner)
            flight = self.flights.setdefault(key, mine)
            if flight is mine:
                return mine, True
        return (None if flight.owner == owner else flight), False

    def doom(self, key):
        flight = self.flights.pop(key, None)
        if flight is not None:
            flight.doomed = True

    def replace(self, key, owner):
        """A flight that begins now, whatever is under way."""
        flight = Flight(owner)
        # Whoever boards between the two is overtaken as well.
        while self.flights.setdefault(key, flight) is not flight:
            self.doom(key)
        return flight

    def land(self, key, flight, packed=None, error=None):
        if self.flights.get(key) is flight:
            del self.flights[key]
        if error is None:
            flight.set_result(packed)
        elif isinstance(error, Exception):
            flight.set_exception(error)
        else:
            flight.set_exception(Abandoned())

    # ---- what callers may ask for

    def key(self, *args, **kwargs):
        return self.make_key(args, kwargs)

    def invalidate(self, *args, **kwargs):
        key = self.make_key(args, kwargs)
        self.doom(key)
        return self.client.delete(key)


class SyncResults(Results):
    def miss(self, key, args, kwargs):
        while True:
            flight, leads = self.board(key, threading.get_ident())
            if leads:
                return self.lead(key, flight, args, kwargs, True)
            if flight is None:
                return self.function(*args, **kwargs)
            try:
                return _native.unpack(flight.result(), None)
            except Abandoned:
                continue

    def lead(self, key, flight, args, kwargs, may_read):
        try:
            packed = self.read(key) if may_read else None
            if packed is not None:
                value = _native.unpack(packed, MISSING)
            if packed is None or value is MISSING:
                value = self.function(*args, **kwargs)
                packed = self.pack(value)
                self.write(key, packed, flight)
                value = value if type(value) in PLAIN else _native.unpack(packed, None)
        except BaseException as error:
            self.land(key, flight, error=error)
            raise
        self.land(key, flight, packed)
        return value

    def refresh(self, *args, **kwargs):
        key = self.make_key(args, kwargs)
        return self.lead(key, self.replace(key, threading.get_ident()), args, kwargs, False)

    def wrapper(self):
        make_key = self.make_key

        @functools.wraps(self.function)
        def cached_function(*args, **kwargs):
            key = make_key(args, kwargs)
            value = self.peek(key, MISSING)
            return self.miss(key, args, kwargs) if value is MISSING else value

        return cached_function


class AsyncResults(Results):
    """The same for coroutines. What may wait for the daemon is done on a thread of the loop's
    executor."""

    def elsewhere(self, call, *args):
        return asyncio.get_running_loop().run_in_executor(None, call, *args)

    async def miss(self, key, args, kwargs):
        while True:
            flight, leads = self.board(key, asyncio.current_task())
            if leads:
                return await self.lead(key, flight, args, kwargs, True)
            if flight is None:
                return await self.function(*args, **kwargs)
            try:
                return _native.unpack(await asyncio.wrap_future(flight), None)
            except Abandoned:
                continue

    async def lead(self, key, flight, args, kwargs, may_read):
        try:
            packed = await self.elsewhere(self.read, key) if may_read else None
            if packed is not None:
                value = _native.unpack(packed, MISSING)
            if packed is None or value is MISSING:
                value = await self.function(*args, **kwargs)
                packed = self.pack(value)
                await self.elsewhere(self.write, key, packed, flight)
                value = value if type(value) in PLAIN else _native.unpack(packed, None)
        except BaseException as error:
            self.land(key, flight, error=error)
            raise
        self.land(key, flight, packed)
        return value

    async def refresh(self, *args, **kwargs):
        key = self.make_key(args, kwargs)
        return await self.lead(key, self.replace(key, asyncio.current_task()), args, kwargs, False)

    async def invalidate(self, *args, **kwargs):
        key = self.make_key(args, kwargs)
        self.doom(key)
        return await self.elsewhere(self.client.delete, key)

    def wrapper(self):
        make_key = self.make_key

        @functools.wraps(self.function)
        async def cached_function(*args, **kwargs):
            key = make_key(args, kwargs)
            value = self.peek(key, MISSING)
            return await self.miss(key, args, kwargs) if value is MISSING else value

        return cached_function


def forget_flights():
    """In a child process there is nobody who leads them."""
    for results in list(Results.every):
        results.flights.clear()


os.register_at_fork(after_in_child=forget_flights)


def check_ttl(ttl):
    """Now rather than when the first result is kept."""
    if callable(ttl):
        raise TypeError("say for how long: @cached(ttl=300)")
    seconds = ttl.total_seconds() if isinstance(ttl, datetime.timedelta) else ttl
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float, type(None))):
        raise TypeError(f"ttl must be seconds or a timedelta, not {type(ttl).__name__}")
    if seconds is not None and not 0 < seconds <= TTL_MAX:
        raise ValueError(f"ttl must be more than 0 and at most 100 years, not {ttl!r}")


def check_function(function, key):
    if not callable(function) or isinstance(function, (staticmethod, classmethod, type)) \
            or not hasattr(function, "__qualname__"):
        raise TypeError("@cached(ttl=…) decorates a function; it stands below @staticmethod, "
                        "@classmethod and @property")
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise TypeError(f"{function.__qualname__}() is a generator: what it yields cannot be kept")
    # All lambdas of a module have the same name, and would answer for each other.
    if key is None and function.__name__ == "<lambda>":
        raise TypeError("a lambda has no name to be kept under: use def, or say how with key=")


def decorator(find_client, ttl, key, method):
    def decorate(function):
        check_function(function, key)
        kind = AsyncResults if inspect.iscoroutinefunction(function) else SyncResults
        results = kind(function, find_client, ttl, key, method)
        wrapper = results.wrapper()
        wrapper.key = results.key
        wrapper.invalidate = results.invalidate
        wrapper.refresh = results.refresh
        return wrapper

    check_ttl(ttl)
    return decorate
