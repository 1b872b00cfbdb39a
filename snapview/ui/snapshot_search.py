"""Which snapshots a search finds, by name, title and description. Pure."""

from snapview.session.views import VmView


class SnapshotSearch:
    """A search text and the names it finds in the shown VM."""

    def __init__(self) -> None:
        self._text = ""
        self._found: frozenset[str] = frozenset()

    @property
    def text(self) -> str:
        """What is searched for, in lower case; empty when there is no search."""
        return self._text

    @property
    def count(self) -> int:
        """How many snapshots were found."""
        return len(self._found)

    def search(self, text: str, view: VmView | None) -> int:
        """Search for ``text`` and return how many snapshots were found."""
        self._text = text.strip().casefold()
        return self.repeat(view)

    def repeat(self, view: VmView | None) -> int:
        """Search again, in a VM newly read, and return how many snapshots were found."""
        if not self._text or view is None:
            self._found = frozenset()
            return 0
        self._found = frozenset(
            snapshot.name
            for snapshot in view.vm.tree
            if self._text in f"{snapshot.name}\n{snapshot.title}\n{snapshot.description}".casefold()
        )
        return len(self._found)

    def finds(self, name: str | None) -> bool:
        """Whether a row is among what was found; "You are here" never is."""
        return name in self._found

    def dims(self, name: str | None) -> bool:
        """Whether a row steps back because something else is searched for."""
        return bool(self._text) and name not in self._found

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Return where the searched words stand in a text: start and length of each."""
        if not self._text:
            return []
        folded = text.casefold()
        if len(folded) != len(text):  # as in "ß": places would not agree
            return []
        found, at = [], folded.find(self._text)
        while at >= 0:
            found.append((at, len(self._text)))
            at = folded.find(self._text, at + len(self._text))
        return found
