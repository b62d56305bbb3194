from typing import Any, Callable, Generic, TypeVar, overload

from typing_extensions import ParamSpec

P = ParamSpec("P")
R = TypeVar("R")

class Cached(Generic[P, R]):
    """A decorated function, as type checkers see it."""

    __wrapped__: Callable[P, R]
    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R: ...
    # Bound to an object, a method takes the rest.
    @overload
    def __get__(self, instance: None, owner: type) -> "Cached[P, R]": ...
    @overload
    def __get__(self, instance: object, owner: type) -> Callable[..., R]: ...
    def key(self, *args: P.args, **kwargs: P.kwargs) -> str: ...
    # Of a coroutine function these two are coroutines.
    def invalidate(self, *args: P.args, **kwargs: P.kwargs) -> Any: ...
    def refresh(self, *args: P.args, **kwargs: P.kwargs) -> R: ...

class Decorator:
    def __call__(self, function: Callable[P, R], /) -> Cached[P, R]: ...

def decorator(
    find_client: Callable[[], Any], ttl: Any, key: Any, method: bool
) -> Decorator: ...
