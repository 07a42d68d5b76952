"""Arrays that are kept as long as there is room."""

import functools
import threading
import weakref
from collections import OrderedDict


class BoundedCache:
    """Arrays by (owner, key), the least recently used dropped first.

    An entry dies with its owner, and answers for no other one; the sum of all entries
    stays below ``max_bytes``.

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
        # By id: a later object with the same one is told from the owner.
        self._owners = {}
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
            keys = self._keys_of(owner)
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
                keys.add(full_key)
            while self._n_bytes > self.max_bytes and len(self._entries) > 1:
                _, old = self._entries.popitem(last=False)
                self._n_bytes -= old.nbytes
        return value

    def forget(self, owner):
        """Drop all entries of an owner.

        Parameters
        ----------
        owner : object
            What they were computed from; it has changed.
        """
        with self._lock:
            self._drop(self._keys_of(owner))

    def _keys_of(self, owner):
        """Return the keys of an owner's entries, after those of a dead one are gone."""
        known, keys = self._owners.get(id(owner), (None, set()))
        if known is None or known() is not owner:
            self._drop(keys)
            keys = set()
            ref = weakref.ref(owner, functools.partial(self._let_go, id(owner)))
            self._owners[id(owner)] = ref, keys
        return keys

    def _let_go(self, owner_id, ref):
        with self._lock:
            known, keys = self._owners.get(owner_id, (None, set()))
            if known is ref:
                del self._owners[owner_id]
                self._drop(keys)

    def _drop(self, keys):
        while keys:
            value = self._entries.pop(keys.pop(), None)
            if value is not None:
                self._n_bytes -= value.nbytes

    @property
    def n_bytes(self):
        """Bytes held now."""
        return self._n_bytes
