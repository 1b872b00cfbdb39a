"""The options that every command takes, before or after its name."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from snapview.cli.invocation import Invocation

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


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
