"""``snapview demo``: the lab of small real VMs, made, opened and removed."""

import click

from snapview.cli.commands import print_tree
from snapview.cli.documents import tree_document
from snapview.cli.errand import cancellable, interruptible
from snapview.cli.invocation import ExitStatus, Invocation
from snapview.cli.options import global_options
from snapview.cli.output import meter, note, print_document, say
from snapview.cli.text import neutral
from snapview.core.errors import SnapviewError
from snapview.core.operations import Progress


@click.command("demo")
@click.option("--remove", is_flag=True, help="Take the lab away: processes, files, everything.")
@click.option("--no-gui", is_flag=True, help="Print the trees as text instead of a window.")
@global_options
@click.pass_obj
def demo_command(
    invocation: Invocation,
    remove: bool,  # noqa: FBT001 - Click's
    no_gui: bool,  # noqa: FBT001 - Click's
) -> ExitStatus:
    """Make a lab of four small VMs with real snapshots, and open the window on it.

    The lab has a libvirt daemon of its own and lies in one folder; your own VMs are not touched.
    """
    if remove:
        return _remove(invocation)
    uri = _ensure(invocation)
    if not no_gui and not invocation.as_json:
        return ExitStatus(invocation.services.open_window((uri,)))
    host = invocation.open_host(uri)
    vms = [interruptible(host.read_vm, summary.uuid) for summary in interruptible(host.list_vms)]
    if invocation.as_json:
        print_document({"connection": uri, "trees": [tree_document(uri, vm) for vm in vms]})
        return ExitStatus.DONE
    for vm in vms:
        print_tree(invocation, vm)
        say("")
    note("The lab is the connection “demo”: snapview -c demo tree demo-web")
    return ExitStatus.DONE


def _ensure(invocation: Invocation) -> str:
    lab = invocation.services.make_lab()
    shown_phases: list[str] = []
    is_cancelled = False

    with meter() as shown:

        def report(progress: Progress) -> None:
            shown.show(progress)
            if not shown.is_drawing and progress.phase not in shown_phases:
                shown_phases.append(progress.phase)
                note(neutral(progress.phase))

        def cancel() -> None:
            nonlocal is_cancelled
            is_cancelled = True
            note("snapview: cancelling; what was begun is taken away again.")
            lab.cancel()

        try:
            return cancellable(lambda: lab.ensure(report), cancel=cancel)
        except SnapviewError:
            if is_cancelled:
                raise click.exceptions.Exit(ExitStatus.CANCELLED) from None
            raise


def _remove(invocation: Invocation) -> ExitStatus:
    was_there = interruptible(invocation.services.make_lab().remove)
    if invocation.as_json:
        print_document({"removed": was_there})
    else:
        say("The demo lab is gone." if was_there else "There is no demo lab here.")
    return ExitStatus.DONE
