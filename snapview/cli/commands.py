"""The commands, one function each: arguments to operation, no rule of their own."""

from dataclasses import replace

import click

from snapview.cli.documents import Document, tree_document, vm_entry
from snapview.cli.errand import interruptible
from snapview.cli.invocation import LAB_HINT, ExitStatus, Invocation, find_snapshot
from snapview.cli.notices import show_notices
from snapview.cli.options import dry_run as dry_run_option
from snapview.cli.options import global_options, merge_options, one_of
from snapview.cli.output import complain, glyphs, note, print_document, print_table, say
from snapview.cli.running import run_operation
from snapview.cli.text import quoted
from snapview.cli.tree_text import (
    LIST_HEADINGS,
    list_row,
    problem_lines,
    title_line,
    tree_table,
)
from snapview.core.errors import SnapviewError
from snapview.core.operations import (
    Afterwards,
    CreateSnapshot,
    DeleteSnapshot,
    EditDescription,
    Host,
    MergeBy,
    RevertSnapshot,
)
from snapview.core.planning import Plan, Refusal, default_snapshot, plan, recommended_kind
from snapview.core.vm import SnapshotKind, Vm, VmSummary


@click.command("list")
@global_options
@click.pass_obj
def list_command(invocation: Invocation) -> ExitStatus:
    """List the VMs, with their snapshots and overlays."""
    entries = [
        (host.uri, summary, _read_or_none(invocation, host, summary))
        for host, summaries in invocation.list_all()
        for summary in summaries
    ]
    for _uri, _summary, vm in entries:
        if vm is not None:
            show_notices(vm)
    if invocation.as_json:
        vms: list[Document] = [vm_entry(*entry) for entry in entries]
        print_document({"vms": vms})
        return ExitStatus.DONE
    if entries:
        rows = [list_row(invocation.uri_label(uri), listed, vm) for uri, listed, vm in entries]
        print_table(LIST_HEADINGS, rows)
    else:
        note("There is no VM here. “snapview demo” makes some to try things out with.")
    if invocation.is_lab_left_out:
        note(LAB_HINT)
    return ExitStatus.DONE


def _read_or_none(invocation: Invocation, host: Host, summary: VmSummary) -> Vm | None:
    try:
        return interruptible(host.read_vm, summary.uuid)
    except SnapviewError as error:  # one VM does not lose the others
        note(f"snapview: warning: {quoted(summary.name)} cannot be read.")
        complain(error, is_verbose=invocation.is_verbose)
        return None


@click.command("tree")
@click.argument("vm")
@global_options
@click.pass_obj
def tree_command(invocation: Invocation, vm: str) -> ExitStatus:
    """Show the snapshot tree of VM, oldest on top, down to where it stands now."""
    found = invocation.find_vm(vm)
    if invocation.as_json:
        print_document(tree_document(found.host.uri, found.vm))
    else:
        print_tree(invocation, found.vm)
    show_notices(found.vm)
    return ExitStatus.DONE


def print_tree(invocation: Invocation, vm: Vm) -> None:
    """Print a tree as text."""
    say(title_line(vm))
    if vm.problem is None:
        print_table(*tree_table(vm, glyphs(), invocation.services.now()))
    for line in problem_lines(vm):
        note(f"snapview: warning: {line}")


@click.command("snapshot")
@click.argument("vm")
@click.argument("name", default="")
@click.option("--description", metavar="TEXT", default="", help="What the snapshot is for.")
@click.option(
    "--memory/--disk-only",
    "memory",
    default=None,
    help="Keep the memory of a running VM too (the default), or its disks alone.",
)
@one_of(
    "kind",
    internal="Keep the state inside the disk image.",
    external="Freeze the disk image and go on in a new file. Without either, what fits the VM.",
)
@click.option("--quiesce", is_flag=True, help="Freeze the guest's file systems meanwhile.")
@click.option(
    "--mix",
    is_flag=True,
    help="Take it although the VM then has internal and external snapshots, with what that costs.",
)
@dry_run_option
@global_options
@click.pass_obj
def snapshot_command(  # noqa: PLR0913, PLR0917 - one parameter for each option
    invocation: Invocation,
    vm: str,
    name: str,
    description: str,
    memory: bool | None,  # noqa: FBT001 - Click's
    kind: str | None,
    quiesce: bool,  # noqa: FBT001 - Click's
    mix: bool,  # noqa: FBT001 - Click's
    dry_run: bool,  # noqa: FBT001 - Click's
) -> ExitStatus:
    """Take a snapshot of VM.

    NAME is what you want to call it: any text, which is kept as its title. A name that begins
    with a dash is written after two dashes.
    """
    found = invocation.find_vm(vm, with_images=True)
    operation = _fitting_snapshot(
        found.vm,
        CreateSnapshot(
            vm_uuid=found.vm.uuid,
            title=name,
            description=description,
            memory=default_snapshot(found.vm).memory if memory is None else memory,
            quiesce=quiesce,
            mix=mix,
        ),
        None if kind is None else SnapshotKind(kind),
    )
    return run_operation(invocation, found, operation, command="snapshot", is_dry_run=dry_run)


def _fitting_snapshot(vm: Vm, wanted: CreateSnapshot, kind: SnapshotKind | None) -> CreateSnapshot:
    """Return the snapshot of the kind asked for, else of the recommended kind if it can be taken.

    What was asked for may fit the other kind only: of a running VM, an internal snapshot never
    comes without memory.
    """
    if kind is not None:
        return replace(wanted, kind=kind)
    first = recommended_kind(vm)
    external_first = first is SnapshotKind.EXTERNAL
    second = SnapshotKind.INTERNAL if external_first else SnapshotKind.EXTERNAL
    recommended, other = replace(wanted, kind=first), replace(wanted, kind=second)
    if isinstance(plan(vm, recommended), Refusal) and isinstance(plan(vm, other), Plan):
        return other
    return recommended


_AFTERWARDS = {
    None: Afterwards.AS_IT_WAS,
    "start": Afterwards.RUNNING,
    "paused": Afterwards.PAUSED,
    "off": Afterwards.OFF,
}


@click.command("revert")
@click.argument("vm")
@click.argument("snapshot")
@click.option(
    "--safety-snapshot/--no-safety-snapshot",
    default=True,
    show_default=True,
    help="First keep the state of now as a snapshot of its own.",
)
@one_of(
    "afterwards",
    start="Then run the VM.",
    paused="Then pause the VM.",
    off="Then have the VM off.",
)
@click.option(
    "--keep-days",
    type=click.IntRange(0),
    metavar="N",
    default=14,
    show_default=True,
    help="Propose to delete the safety snapshot after so many days; 0: never.",
)
@dry_run_option
@global_options
@click.pass_obj
def revert_command(  # noqa: PLR0913, PLR0917 - one parameter for each option
    invocation: Invocation,
    vm: str,
    snapshot: str,
    safety_snapshot: bool,  # noqa: FBT001 - Click's
    afterwards: str | None,
    keep_days: int,
    dry_run: bool,  # noqa: FBT001 - Click's
) -> ExitStatus:
    """Put VM back to SNAPSHOT, by default as it was then: running, paused or off."""
    found = invocation.find_vm(vm, with_images=True)
    target = find_snapshot(found.vm, snapshot)
    operation = RevertSnapshot(
        vm_uuid=found.vm.uuid,
        snapshot=target.name,
        safety_snapshot=safety_snapshot,
        keep_days=keep_days or None,
        afterwards=_AFTERWARDS[afterwards],
    )
    return run_operation(invocation, found, operation, command="revert", is_dry_run=dry_run)


@click.command("delete")
@click.argument("vm")
@click.argument("snapshots", nargs=-1, required=True, metavar="SNAPSHOT...")
@click.option("--subtree", is_flag=True, help="Delete all snapshots after them too.")
@merge_options
@dry_run_option
@global_options
@click.pass_obj
def delete_command(  # noqa: PLR0913, PLR0917 - one parameter for each option
    invocation: Invocation,
    vm: str,
    snapshots: tuple[str, ...],
    subtree: bool,  # noqa: FBT001 - Click's
    pull: bool,  # noqa: FBT001 - Click's
    bandwidth: int,
    dry_run: bool,  # noqa: FBT001 - Click's
) -> ExitStatus:
    """Delete snapshots of VM. The state of now always stays."""
    found = invocation.find_vm(vm, with_images=True)
    names = dict.fromkeys(find_snapshot(found.vm, text).name for text in snapshots)
    operation = DeleteSnapshot(
        vm_uuid=found.vm.uuid,
        snapshots=tuple(names),
        subtree=subtree,
        merge_by=MergeBy.PULL if pull else MergeBy.COMMIT,
        bandwidth_bytes_per_second=bandwidth,
    )
    return run_operation(invocation, found, operation, command="delete", is_dry_run=dry_run)


@click.command("describe")
@click.argument("vm")
@click.argument("snapshot")
@click.argument("text")
@dry_run_option
@global_options
@click.pass_obj
def describe_command(
    invocation: Invocation,
    vm: str,
    snapshot: str,
    text: str,
    dry_run: bool,  # noqa: FBT001 - Click's
) -> ExitStatus:
    """Replace the description of SNAPSHOT with TEXT. Its title and name stay."""
    found = invocation.find_vm(vm, with_images=True)
    target = find_snapshot(found.vm, snapshot)
    operation = EditDescription(
        vm_uuid=found.vm.uuid, snapshot=target.name, title=target.label, description=text
    )
    return run_operation(invocation, found, operation, command="describe", is_dry_run=dry_run)
