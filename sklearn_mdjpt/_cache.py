"""Arrays that are kept as long as there is room."""

import threading
import weakref
from collections import OrderedDict


class BoundedCache:
    """Arrays by (owner, key), the least recently used dropped first.

    An entry dies with its owner; the sum of all entries stays below ``max_bytes``.

    Parameters
    ----------
    max_bytes : int
        The bound.
    keep_newest : bool, default=False
        Whether an entry that exceeds the bound by itself is kept, alone, or not at all.
    """

    def __init__(self, max_bytes, *, keep_newest=False):
        self.max_bytes = max_bytes
        self.keep_newest = keep_newest
        self._entries = OrderedDict()
        self._n_bytes = 0
        # Re-entrant: the collector may drop an owner while the lock is held.
        self._lock = threading.RLock()

    def get(self, owner, key, compute, n_bytes=0):
        """Return the entry, computing it when it is absent.

        An entry of a size given beforehand drops no other one: where there is no room
        for ``n_bytes``, nothing is computed, and None is returned.
        """
        full_key = (id(owner), key)
        with self._lock:
            if full_key in self._entries:
                self._entries.move_to_end(full_key)
                return self._entries[full_key]
            if n_bytes and self._n_bytes + n_bytes > self.max_bytes:
                return None
        value = compute()
        if value.nbytes > self.max_bytes and not self.keep_newest:
            return value
        with self._lock:
            if full_key not in self._entries:
                self._entries[full_key] = value
                self._n_bytes += value.nbytes
                weakref.finalize(owner, self._drop, full_key)
            while self._n_bytes > self.max_bytes and len(self._entries) > 1:
                _, old = self._entries.popitem(last=False)
                self._n_bytes -= old.nbytes
        return value

    def _drop(self, full_key):
        with self._lock:
            value = self._entries.pop(full_key, None)
            if value is not None:
                self._n_bytes -= value.nbytes

    @property
    def n_bytes(self):
        """Bytes held now."""
        return self._n_bytes
