"""A cache of arrays with a bound on their size."""

import threading
import weakref
from collections import OrderedDict


class BoundedCache:
    """Arrays by (owner, key); the least recently used are dropped first.

    The entries of an owner are dropped when it is garbage collected.

    Parameters
    ----------
    max_bytes : int
        Bound on the sum of all entries.
    keep_newest : bool, default=False
        Whether an entry larger than the bound is kept until the next one comes, or not
        at all.
    """

    def __init__(self, max_bytes, *, keep_newest=False):
        self.max_bytes = max_bytes
        self.keep_newest = keep_newest
        self._entries = OrderedDict()
        # Keys of each owner's entries, by the owner's id.  An id is used again only
        # after its owner's finalizer has run.
        self._keys = {}
        self._n_bytes = 0
        # Re-entrant, since the garbage collector may run while the lock is held.
        self._lock = threading.RLock()

    def get(self, owner, key, compute, n_bytes=0):
        """Return an entry; compute it if it is absent.

        With ``n_bytes``, its size, no other entry is dropped for it: if there is no
        room, nothing is computed, and None is returned.
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
            if id(owner) not in self._keys:
                self._keys[id(owner)] = set()
                weakref.finalize(owner, self._drop, id(owner)).atexit = False
            if full_key not in self._entries:
                self._keys[id(owner)].add(full_key)
                self._entries[full_key] = value
                self._n_bytes += value.nbytes
            while self._n_bytes > self.max_bytes and len(self._entries) > 1:
                _, oldest = self._entries.popitem(last=False)
                self._n_bytes -= oldest.nbytes
        return value

    def forget(self, owner):
        """Drop all entries of an owner, because it has changed."""
        with self._lock:
            self._drop_entries(self._keys.get(id(owner), set()))

    def _drop(self, owner_id):
        with self._lock:
            self._drop_entries(self._keys.pop(owner_id))

    def _drop_entries(self, keys):
        while keys:
            value = self._entries.pop(keys.pop(), None)
            if value is not None:
                self._n_bytes -= value.nbytes

    @property
    def n_bytes(self):
        """Bytes held now."""
        return self._n_bytes
