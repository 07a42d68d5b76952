"""What was noticed in the data: warnings, each once, kept beside what was made."""

from __future__ import annotations

import contextlib
import json
import re
import warnings
from dataclasses import dataclass, field

from .._io._files import write_file
from .._validation import list_some, warn

# Others (of what Python or a library will give up) say nothing of data.
_ABOUT_DATA = (UserWarning, RuntimeWarning)
_PATH = re.compile(r"'[^'\n]*[/\\][^'\n]*'")
_WHERE = re.compile(r".*[/\\]")
_MOST = 3  # of the texts that are alike


@dataclass
class Note:
    """What was noticed, once or several times.

    Attributes
    ----------
    dataset : str
        Where.
    step : str
        In which step, such as "reading".
    counts : dict of str to int
        Texts that differ in files and numbers alone, and how often each came.
    """

    dataset: str
    step: str
    counts: dict[str, int] = field(default_factory=dict)

    @property
    def n(self):
        """How often it came."""
        return sum(self.counts.values())

    @property
    def text(self):
        """Return the first of the texts, and what tells the others from it."""
        first, *others = self.counts
        words = set(first.split())
        told = [
            _WHERE.sub("", word.strip("'\",.:;()"))
            for text in others
            for word in text.split()
            if word not in words and any(map(str.isalpha, word))
        ]
        if told:
            return f"{first} The same for {list_some(dict.fromkeys(told), _MOST)}."
        return f"{first} Also with other numbers." if others else first


class Notices:
    """Collects warnings of all steps; each is shown and reported once.

    What comes in a step is written to a file at once, so that a later run, which finds
    the step done, or a part of it, still knows.
    """

    def __init__(self):
        self._found = {}  # by file
        self._shown = set()

    @contextlib.contextmanager
    def during(self, path, dataset, step, *, write=True):
        """Collect the warnings from inside, and give each once at the end.

        Parameters
        ----------
        path : Path
            File that keeps them; its folder is made where needed.
        dataset, step : str
            What they are about.
        write : bool, default=True
            False for a first look: then the file is not touched, and what it holds
            does not count, but a later call with the same file writes all of it.
        """
        before = _read(path) if write else []
        notes = {_kind(note): note for note in self._found.get(path, before)}
        came = {}

        def show(message, category, *args, **kwargs):
            if not issubclass(category, _ABOUT_DATA):
                outer(message, category, *args, **kwargs)
                return
            text = " ".join(str(message).split())
            kind = _kind(Note(dataset, step, {text: 1}))
            counts, _ = came.setdefault(kind, ({}, category))
            counts[text] = counts.get(text, 0) + 1
            # After a kill a step says again what it has said.
            known = notes.setdefault(kind, Note(dataset, step))
            is_new = text not in known.counts
            known.counts[text] = max(counts[text], known.counts.get(text, 0))
            if is_new and write:
                _write(path, notes.values())

        outer = warnings.showwarning
        try:
            with warnings.catch_warnings():
                for category in _ABOUT_DATA:
                    warnings.simplefilter("always", category)
                warnings.showwarning = show
                yield
        finally:
            if write and (notes or path.exists()):
                _write(path, notes.values())
            self._found[path] = list(notes.values())
            for kind, (_, category) in came.items():
                self._show(kind, notes[kind], category)

    def recall(self, path):
        """Take up what an earlier run has noticed in a step that is done.

        Returns
        -------
        int
            How many different things.
        """
        self._found[path] = list(_read(path))
        return len(self._found[path])

    def add(self, dataset, step, text):
        """Warn of something, and report it."""
        note = Note(dataset, step, {text: 1})
        self._found[dataset, step, text] = [note]
        self._show(_kind(note), note, UserWarning)

    def table(self):
        """Return what was noticed: lists of dataset, text, number of times, steps."""
        merged, steps = {}, {}
        for note in (note for notes in self._found.values() for note in notes):
            kind = _kind(note)
            known = merged.setdefault(kind, Note(note.dataset, note.step))
            for text, n in note.counts.items():
                known.counts[text] = known.counts.get(text, 0) + n
            steps.setdefault(kind, {})[note.step] = None
        return [
            [note.dataset, note.text, note.n, ", ".join(steps[kind])]
            for kind, note in merged.items()
        ]

    def _show(self, kind, note, category):
        if kind in self._shown:
            return
        self._shown.add(kind)
        text = note.text
        named = text if note.dataset in text else f"{note.dataset}: {text}"
        warn(named + (f" ({note.n} times)" if note.n > 1 else ""), category)


def notices_path(path):
    """Return the file with what was noticed when a file or store was made."""
    return path.with_name(f"{path.name.partition('.')[0]}.noticed.json")


def _kind(note):
    """Return what is equal for notes that differ in files and numbers alone."""
    text = _PATH.sub("'...'", next(iter(note.counts)))
    return note.dataset, re.sub(r"\d+", "0", text)


def _read(path):
    try:
        rows = json.loads(path.read_bytes())
    except FileNotFoundError:
        return []
    return [Note(**row) for row in rows]


def _write(path, notes):
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [vars(note) for note in notes]
    write_file(path, json.dumps(rows, indent=1).encode())
