"""The command ``snapview``: the group of all commands, and how each ends.

Errors become a sentence, advice and an exit status here, in one place; no traceback.
"""

from collections.abc import Sequence
from typing import Any

import click

from snapview.cli.commands import (
    delete_command,
    describe_command,
    list_command,
    revert_command,
    snapshot_command,
    tree_command,
)
from snapview.cli.demo_command import demo_command
from snapview.cli.documents import error_document
from snapview.cli.errand import GaveUp
from snapview.cli.history_command import history_command
from snapview.cli.image_commands import consolidate_command, job_command, recover_command
from snapview.cli.invocation import ExitStatus, Invocation, Services, status_of
from snapview.cli.options import global_options
from snapview.cli.output import complain, finish_streams, note, prepare_streams, print_document
from snapview.core.errors import SnapviewError


class _Program(click.Group):
    """Turns what a command returns or raises into an exit status."""

    def invoke(self, ctx: click.Context) -> Any:
        invocation = ctx.find_object(Invocation)
        assert invocation is not None
        try:
            status = super().invoke(ctx)
        except SnapviewError as error:
            complain(error, is_verbose=invocation.is_verbose)
            if invocation.as_json:
                print_document(error_document(error))
            status = status_of(error)
        except GaveUp:
            note(
                "snapview: left alone. libvirt may still be finishing what it had begun; the next "
                "snapview says what is left to be done."
            )
            ctx.exit(ExitStatus.CANCELLED)
        except KeyboardInterrupt:
            # Closing connections would wait for the very call that Ctrl-C is meant to leave.
            note("snapview: cancelled.")
            ctx.exit(ExitStatus.CANCELLED)
        invocation.close()
        ctx.exit(status or ExitStatus.DONE)


@click.group(
    cls=_Program,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    no_args_is_help=True,
    subcommand_metavar="[COMMAND [ARGUMENTS]...]",
)
@click.option("--demo", is_flag=True, help="Open the window on the demo lab (made if need be).")
@click.option("--screenshot", metavar="FILE", help="Save a picture of the window and end.")
@click.option("--version", is_flag=True, help="Print the version and end.")
@global_options
def program(demo: bool, screenshot: str | None, version: bool) -> None:  # noqa: FBT001 - Click's
    """See, take, revert to and delete the snapshots of libvirt and QEMU virtual machines.

    Without a command, the window opens.

    Exit status: 0 done, 1 failed, 2 wrong usage, 3 refused, 4 no connection, 130 cancelled.
    """
    # Without a command these never come here: __main__ opens the window without loading Click.
    given = [("--demo", demo), ("--screenshot", screenshot), ("--version", version)]
    for option, value in given:
        if value:
            raise click.UsageError(f"{option} is for the window and takes no command.")


for _command in (
    list_command,
    tree_command,
    snapshot_command,
    revert_command,
    delete_command,
    consolidate_command,
    describe_command,
    recover_command,
    job_command,
    history_command,
    demo_command,
):
    program.add_command(_command)


def main(arguments: Sequence[str], services: Services) -> int:
    """Run the command line and return its exit status."""
    prepare_streams()
    invocation = Invocation(services)
    try:
        status = program.main(
            list(arguments), prog_name="snapview", obj=invocation, standalone_mode=False
        )
    except click.ClickException as error:
        error.show()
        if isinstance(error, click.NoSuchOption) and error.ctx is not None and error.ctx.parent:
            note("A name that begins with a dash is written after two dashes: snapview … -- -name")
        return error.exit_code
    except click.Abort:  # Ctrl-C before a command had begun
        return ExitStatus.CANCELLED
    finally:
        finish_streams()
    return int(status or ExitStatus.DONE)
