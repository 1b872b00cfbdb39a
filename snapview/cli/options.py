"""Options that several commands take; the global ones may stand before a command's name too."""

import re
from collections.abc import Callable
from typing import Any, TypeVar

import click

from snapview.cli.invocation import Invocation

Decorated = TypeVar("Decorated", bound=Callable[..., Any])

_BYTES = re.compile(r"([0-9]{1,12})([KMGT]?)", re.IGNORECASE)
_POWERS = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4}


def _byte_count(ctx: click.Context, parameter: click.Parameter, value: str) -> int:
    """Read a number of bytes, with K, M, G or T as powers of 1024."""
    match = _BYTES.fullmatch(value)
    if match is None:
        text = f"{value!r} is no number of bytes, such as 1048576 or 50M."
        raise click.BadParameter(text, ctx, parameter)
    return int(match[1]) << 10 * _POWERS[match[2].upper()]


dry_run = click.option(
    "--dry-run", is_flag=True, help="Only say what would happen; change nothing."
)


def one_of(name: str, **flags: str) -> Callable[[Decorated], Decorated]:
    """Add flags of which one at most may be given; the function gets that one's name, or None.

    Args:
        name: of the function's parameter.
        flags: the flags without their dashes, and what each means.
    """

    def take(ctx: click.Context, parameter: click.Parameter, value: bool) -> None:  # noqa: FBT001 - Click's
        before = ctx.params.setdefault(name, None)
        if value and before is not None:
            raise click.UsageError(f"{parameter.opts[0]} does not go with --{before}.", ctx)
        if value:
            ctx.params[name] = parameter.name

    def add(command: Decorated) -> Decorated:
        for flag, text in reversed(flags.items()):
            option = click.option(
                f"--{flag}", flag, is_flag=True, expose_value=False, callback=take, help=text
            )
            command = option(command)
        return command

    return add


def merge_options(command: Decorated) -> Decorated:
    """Add ``--pull`` and ``--bandwidth``."""
    for option in (
        click.option(
            "--bandwidth",
            metavar="BYTES",
            default="0",
            callback=_byte_count,
            help="Copy at most so many bytes a second: 50M, for instance.",
        ),
        click.option(
            "--pull",
            is_flag=True,
            help="Merge upwards, into the newer image, where the older one must not be written to.",
        ),
    ):
        command = option(command)
    return command


def global_options(command: Decorated) -> Decorated:
    """Add ``-c``, ``--json`` and ``-v``; they go into the invocation, not to the function."""
    for option in (
        click.option(
            "-v",
            "--verbose",
            is_flag=True,
            expose_value=False,
            callback=_verbose,
            help="Say more: details of errors, and the log, on stderr.",
        ),
        click.option(
            "--json",
            is_flag=True,
            expose_value=False,
            callback=_json,
            help="Print one JSON document instead of text.",
        ),
        click.option(
            "-c",
            "--connect",
            metavar="URI",
            multiple=True,
            expose_value=False,
            callback=_connect,
            help="A libvirt connection, for example qemu+ssh://root@host/system, or “demo” for "
            "the demo lab. May be given several times. Without it: $LIBVIRT_DEFAULT_URI, else "
            "qemu:///system and qemu:///session.",
        ),
    ):
        command = option(command)
    return command


def _verbose(ctx: click.Context, _parameter: click.Parameter, value: bool) -> None:  # noqa: FBT001 - Click's
    if value:
        _invocation(ctx).be_verbose()


def _json(ctx: click.Context, _parameter: click.Parameter, value: bool) -> None:  # noqa: FBT001 - Click's
    if value:
        _invocation(ctx).as_json = True


def _connect(ctx: click.Context, parameter: click.Parameter, value: tuple[str, ...]) -> None:
    for uri in value:
        if not uri.strip():
            raise click.BadParameter("an empty URI names no connection.", ctx, parameter)
        _invocation(ctx).add_uri(uri)


def _invocation(ctx: click.Context) -> Invocation:
    found = ctx.find_object(Invocation)
    if found is None:
        raise RuntimeError("the command line was started without an Invocation")
    return found
