"""A plan as text. Pure."""

from collections.abc import Iterator

from snapview.cli.text import duration, neutral, size
from snapview.core.planning import Plan


def plan_lines(made: Plan) -> Iterator[str]:
    """Yield the lines that say what would happen."""
    for number, step in enumerate(made.steps, 1):
        yield f"  {number}. {neutral(step.what)}"
        for file in step.files:
            yield f"       {neutral(file)}"
    for heading, sentences in (
        ("Kept:", made.kept),
        ("Lost:", made.lost),
        ("Careful:", made.warnings),
    ):
        if sentences:
            yield heading
            yield from (f"  {neutral(sentence)}" for sentence in sentences)
    if made.get_back is not None:
        yield "Can I get back?"
        yield f"  Revert: {neutral(made.get_back.revert_text)}"
        yield f"  Remove: {neutral(made.get_back.remove_text)}"
    yield from _figures(made)
    yield f"Undo: {neutral(made.undo)}" if made.undo else "This cannot be taken back."


def _figures(made: Plan) -> Iterator[str]:
    for text, size_bytes in (
        ("To copy", made.bytes_to_copy),
        ("Extra space needed meanwhile", made.extra_bytes_needed),
        ("Freed", made.freed_bytes),
    ):
        if size_bytes is not None:
            yield f"{text}: {size(size_bytes)}."
    if made.estimated_seconds is not None:
        yield f"Estimated time: {duration(made.estimated_seconds)}."
