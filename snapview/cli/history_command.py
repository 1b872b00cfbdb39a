"""``snapview history``: what was done to a VM, planned and actual."""

from typing import TYPE_CHECKING

import click

from snapview.cli.documents import history_document
from snapview.cli.invocation import ExitStatus, Invocation
from snapview.cli.notices import show_notices
from snapview.cli.options import global_options
from snapview.cli.output import Entry, Styled, note, print_document, print_table
from snapview.cli.text import duration, local_time, neutral, quoted, size

if TYPE_CHECKING:
    from snapview.history import OperationRecord

_HEADINGS = ("WHEN", "WHAT", "OUTCOME", "COPIED", "TIME", "FREED", "DESCRIPTION")
_OUTCOME_STYLES = {"done": "green", "failed": "red", "cancelled": "yellow"}


@click.command("history")
@click.argument("vm")
@click.option(
    "--limit",
    type=click.IntRange(1),
    metavar="N",
    default=50,
    show_default=True,
    help="At most so many, the newest first.",
)
@global_options
@click.pass_obj
def history_command(invocation: Invocation, vm: str, limit: int) -> ExitStatus:
    """Show what snapview did to VM, with planned and actual figures."""
    found = invocation.find_vm(vm)
    records = invocation.history.operations(found.host.uri, found.vm.uuid, limit)
    if invocation.as_json:
        print_document(history_document(found.vm, records))
    elif records:
        print_table(_HEADINGS, [_row(record) for record in records])
    else:
        note(f"snapview has done nothing to {quoted(found.vm.name)} yet.")
    show_notices(found.vm)
    return ExitStatus.DONE


def _row(record: "OperationRecord") -> list[Entry]:
    return [
        Styled(local_time(record.at)),
        Styled(neutral(record.what), "bold"),
        Styled(record.outcome, _OUTCOME_STYLES.get(record.outcome, "")),
        Styled(_figure(record.actual_bytes, record.planned_bytes)),
        Styled(_time(record.actual_seconds, record.planned_seconds)),
        Styled(_figure(record.actual_freed_bytes, record.planned_freed_bytes)),
        Styled(neutral(record.message), "dim"),
    ]


def _figure(actual: int | None, planned: int | None) -> str:
    if actual is None:
        return ""
    return size(actual) if planned is None else f"{size(actual)} (planned {size(planned)})"


def _time(actual: float | None, planned: float | None) -> str:
    if actual is None:
        return ""
    text = duration(actual)
    return text if planned is None else f"{text} (planned {duration(planned)})"
