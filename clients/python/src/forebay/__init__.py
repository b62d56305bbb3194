"""forebay: a cache in front of everything slow, shared by all processes of a host.

    import forebay

    cache = forebay.Client()
    cache.set("user:1", {"name": "Ada"}, ttl=300)
    cache.get("user:1")

    @forebay.cached(ttl=300)
    def recommendations(user): ...

What the daemon of this host has in memory is read from there directly; everything else goes to it
over a socket. Without a daemon each process has a small cache of its own.
"""

from __future__ import annotations

import datetime
import os
import threading
from typing import Callable, Optional, Union

from . import _cached, _native
from .errors import (BadRequest, Error, NoSuchClass, Overloaded, SourceError, TimeoutError, TooBig,
                     Unavailable)

__version__ = "0.1.0"
__all__ = ["Client", "cached", "client", "Error", "Unavailable", "TimeoutError", "Overloaded",
           "SourceError", "NoSuchClass", "TooBig", "BadRequest"]

TTL = Union[int, float, datetime.timedelta, None]


class Client(_native.Client):
    """A connection to forebay: any threads may use it at once, and children after fork() too.

    url          "unix:/run/forebay.sock", "127.0.0.1:6380", "forebay://user:password@host:port";
                 unless given what FOREBAY_URL says, or 127.0.0.1:6380
    timeout      seconds for connecting, and for a request beside what its fetch may take
    retry        seconds after a failure until the daemon is tried again
    private_bytes, private_ttl
                 the bounds of what this process keeps by itself while there is no daemon
    region       False: always ask over the socket
    any_owner    trust a region of any user's
    """

    __slots__ = ("__weakref__",)

    def cached(self, ttl: TTL, *, key: Optional[Callable[..., str]] = None,
               method: bool = False) -> _cached.Decorator:
        """Keeps the results of a function for `ttl`, for all processes:

            @cache.cached(ttl=300)
            def recommendations(user, count=10): ...

        The key is made of the function's name and its arguments. key: a function of the same
        arguments that makes it instead. method=True: the first argument (self) is no part of it.

        Results are kept as by set(): what is no bytes comes back as JSON has it (a tuple as a list),
        also the first time. The decorated function has key(), invalidate() and refresh(), which
        take its arguments, and is in __wrapped__. Coroutine functions stay coroutine functions, and
        so are their invalidate() and refresh() then.
        """
        return _cached.decorator(lambda: self, ttl, key, method)


_default = None
_default_lock = threading.Lock()


def client() -> Client:
    """The client that forebay.cached() uses, made when it is first asked for."""
    global _default
    if _default is None:
        with _default_lock:
            if _default is None:
                _default = Client()
    return _default


def cached(ttl: TTL, *, key: Optional[Callable[..., str]] = None,
           method: bool = False) -> _cached.Decorator:
    """As Client.cached(), with the client that FOREBAY_URL says."""
    return _cached.decorator(client, ttl, key, method)


def _after_fork() -> None:
    global _default_lock
    _default_lock = threading.Lock()


os.register_at_fork(after_in_child=_after_fork)
