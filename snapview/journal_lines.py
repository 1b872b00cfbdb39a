"""What the journal's files hold: entries, operations and moves as lines of JSON, and back.

Hides cattrs, and what a line looks like. Knows nothing of files.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from snapview.core.journal import Begun, Entry
from snapview.core.moves import Move
from snapview.core.operations import Operation

if TYPE_CHECKING:  # takes 50 ms to import, and is needed only where something is written down
    from cattrs import Converter

_SCHEMA = 1


class Unreadable(ValueError):
    """Something is none of ours, or of another version of snapview."""


def first_bytes(prefix: str) -> bytes:
    """Return how the lines of an entry begin whose id has that prefix."""
    return f'{{"schema": {_SCHEMA}, "id": "{prefix}.'.encode()


class JournalLines:
    """Operations and moves as lines of JSON, and back."""

    def __init__(self) -> None:
        from cattrs.preconf.json import make_converter
        from cattrs.strategies import configure_tagged_union

        # A field that is not known could change what a move means.
        converter = make_converter(forbid_extra_keys=True)
        configure_tagged_union(Operation, converter)
        configure_tagged_union(Move, converter)
        self._converter: Converter = converter

    def head(self, entry: Entry) -> dict[str, Any]:
        """Return the first line of an entry."""
        unstructure = self._converter.unstructure
        return {
            "schema": _SCHEMA,
            "id": entry.id,
            "uri": entry.uri,
            "vm_uuid": entry.vm_uuid,
            "vm_name": entry.vm_name,
            "operation": unstructure(entry.operation, Operation),
            "moves": [unstructure(move, Move) for move in entry.moves],
            "began_at": entry.began_at.isoformat(),
        }

    def begin(self, move: Move, note: Mapping[str, str]) -> dict[str, Any]:
        """Return the line for a move that is begun."""
        return {"begin": self._converter.unstructure(move, Move), "note": dict(note)}

    def entry(self, lines: list[bytes]) -> Entry:
        """Read whole lines.

        Raises:
            Unreadable: one of them is not as this version writes it.
        """
        from cattrs import BaseValidationError

        try:
            head, *rest = map(json.loads, lines)
            if head["schema"] != _SCHEMA:
                raise Unreadable(f"it is of schema {head['schema']}")
            return replace(self._head(head), begun=tuple(self._begun(rest)))
        except (BaseValidationError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise Unreadable(f"{type(error).__name__}: {error}") from error

    def _head(self, head: dict[str, Any]) -> Entry:
        return Entry(
            id=head["id"],
            uri=head["uri"],
            vm_uuid=head["vm_uuid"],
            vm_name=head["vm_name"],
            operation=self._converter.structure(head["operation"], Operation),  # type: ignore[arg-type]  # a union is no type to mypy
            moves=tuple(self._move(move) for move in head["moves"]),
            began_at=datetime.fromisoformat(head["began_at"]),
        )

    def _begun(self, records: list[dict[str, Any]]) -> Iterator[Begun]:
        last: Begun | None = None
        for record in records:
            if "begin" in record:
                if last is not None:
                    yield last
                last = Begun(self._move(record["begin"]), dict(record["note"]))
            elif record == {"done": True} and last is not None and not last.is_done:
                last = replace(last, is_done=True)
            else:
                raise Unreadable("a line of it means nothing")
        if last is not None:
            yield last

    def _move(self, record: object) -> Move:
        return self._converter.structure(record, Move)  # type: ignore[arg-type]  # see above
