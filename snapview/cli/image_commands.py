"""The commands for images and for what is under way: consolidate, job and recover."""

import click

from snapview.cli.documents import interruption_document
from snapview.cli.invocation import ExitStatus, Invocation
from snapview.cli.notices import interruption_lines
from snapview.cli.options import dry_run as dry_run_option
from snapview.cli.options import global_options, merge_options, one_of
from snapview.cli.output import print_document, say
from snapview.cli.running import run_operation
from snapview.core.operations import Consolidate, EndBlockJob, MergeBy, Recover


@click.command("consolidate")
@click.argument("vm")
@click.option("--disk", "disks", metavar="DISK", multiple=True, help="Only this disk, as vda.")
@click.option("--all", "is_all", is_flag=True, help="All disks; the same as naming none.")
@merge_options
@dry_run_option
@global_options
@click.pass_obj
def consolidate_command(  # noqa: PLR0913, PLR0917 - one parameter for each option
    invocation: Invocation,
    vm: str,
    disks: tuple[str, ...],
    is_all: bool,  # noqa: FBT001 - Click's
    pull: bool,  # noqa: FBT001 - Click's
    bandwidth: int,
    dry_run: bool,  # noqa: FBT001 - Click's
) -> ExitStatus:
    """Merge the images of VM's disks as far as nothing else needs them.

    The state of now stays. Snapshots whose images are merged away are lost; images that a branch,
    another VM or an internal snapshot needs stay.
    """
    if is_all and disks:
        raise click.UsageError("--all and --disk exclude each other.")
    found = invocation.find_vm(vm, with_images=True)
    operation = Consolidate(
        vm_uuid=found.vm.uuid,
        disks=tuple(dict.fromkeys(disks)),
        merge_by=MergeBy.PULL if pull else MergeBy.COMMIT,
        bandwidth_bytes_per_second=bandwidth,
    )
    return run_operation(invocation, found, operation, command="consolidate", is_dry_run=dry_run)


@click.command("job")
@click.argument("vm")
@click.argument("disk")
@one_of(
    "end", finish="Go over to what the job has made.", abort="Stay with the images as they are."
)
@dry_run_option
@global_options
@click.pass_obj
def job_command(
    invocation: Invocation,
    vm: str,
    disk: str,
    end: str | None,
    dry_run: bool,  # noqa: FBT001 - Click's
) -> ExitStatus:
    """End the block job that runs on a DISK of VM, whoever began it."""
    if end is None:
        raise click.UsageError("--finish or --abort is wanted.")
    found = invocation.find_vm(vm, with_images=True)
    operation = EndBlockJob(vm_uuid=found.vm.uuid, disk=disk, finish=end == "finish")
    return run_operation(invocation, found, operation, command="job", is_dry_run=dry_run)


@click.command("recover")
@click.argument("vm")
@one_of("way", finish="Bring it to its end.", undo="Take it back.")
@dry_run_option
@global_options
@click.pass_obj
def recover_command(
    invocation: Invocation,
    vm: str,
    way: str | None,
    dry_run: bool,  # noqa: FBT001 - Click's
) -> ExitStatus:
    """Settle an operation on VM that was interrupted, or say what there is to settle.

    snapview writes down what it is about to do; so after a crash or a power cut it knows how far
    things got.
    """
    found = invocation.find_vm(vm, with_images=way is not None)
    if way is not None:
        number = found.vm.interruption.id if found.vm.interruption else ""
        operation = Recover(found.vm.uuid, number, finish=way == "finish")
        return run_operation(invocation, found, operation, command="recover", is_dry_run=dry_run)
    if invocation.as_json:
        print_document(interruption_document(found.vm))
    else:
        for line in interruption_lines(found.vm):
            say(line)
    return ExitStatus.DONE
