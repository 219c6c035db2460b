"""Things that are made on demand and forgotten again when they take too much room; for several threads."""

import collections
import threading
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Thing = TypeVar("Thing")


class Held(Generic[Thing]):
    """Keeps what was used last, up to a number of bytes."""

    def __init__(self, limit: int, nbytes: Callable[[Thing], int]):
        """Holds things of which `nbytes` says the size, up to `limit` together."""
        self._limit = limit
        self._nbytes = nbytes
        self._things: collections.OrderedDict[Hashable, Thing] = collections.OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def get(self, key: Hashable, make: Callable[[], Thing]) -> Thing:
        """What `make` returns, or has returned for this key; two threads may make the same thing at once."""
        with self._lock:
            if key in self._things:
                self._things.move_to_end(key)
                return self._things[key]
        thing = make()
        with self._lock:
            if key not in self._things:
                self._things[key] = thing
                self._bytes += self._nbytes(thing)
                while self._bytes > self._limit and self._things:
                    _, oldest = self._things.popitem(last=False)
                    self._bytes -= self._nbytes(oldest)
        return thing
