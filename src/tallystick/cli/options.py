"""Options that several commands share."""

from collections.abc import Callable
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from tallystick.cli.command import option
from tallystick.cli.streams import INPUT, file_or_descriptor, file_or_output
from tallystick.cli.values import DURATION, KEEP, NAME, SIZE
from tallystick.unicode import ENCODINGS

__all__ = [
    "agent_options",
    "custody_option",
    "envelope_option",
    "field_option",
    "form_option",
    "head_option",
    "key_options",
    "last_option",
    "name_argument",
    "output_option",
    "rotation",
    "sealing_options",
    "start_option",
    "store_option",
    "user_option",
]

F = TypeVar("F", bound=Callable[..., Any])


def _store(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """Leave a value from the environment to the key store, which takes a directory there as well.

    A store that was named on the command line stays named, even if the environment names the same one.
    """
    source = context.get_parameter_source(parameter.name or "")
    return value if source is ParameterSource.COMMANDLINE else None


def output_option(help: str, **settings: Any) -> Callable[[F], F]:
    """Return `-o FILE`, whose value is None for standard output, and a number for another descriptor of ours."""
    settings = {"type": click.Path(), "metavar": "FILE", "callback": file_or_descriptor, **settings}
    return option("--output", "-o", help=help, **settings)


def form_option(*forms: str) -> Callable[[F], F]:
    """Return `--format`, with the forms that a result can have."""
    return option("--format", "form", type=click.Choice(forms), default="text")


name_argument = click.argument("name", type=NAME, metavar="NAME")
store_option = option("--store", metavar="URL", callback=_store, help="Key store, such as file:DIR.")
user_option = option("--as", "user", metavar="USER", help="Open and rotate FILE as USER, who may write there.")
custody_option = option("--custody", metavar="URL", help="What encrypts the state: master-key:FILE, …")

head_option = option("--head", type=INPUT, metavar="FILE", help="Head of the log, from `tallystick head`.")
start_option = option(
    "--from", "start", type=click.IntRange(1), metavar="CHAIN", help="First chain here; older ones are gone."
)
last_option = option(
    "--to", "last", type=click.IntRange(1), metavar="CHAIN", help="Last chain here; newer ones are elsewhere."
)
envelope_option = option("--envelope", metavar="KIND", help="What a carrier put around lines: docker, …")
field_option = option("--field", metavar="NAME", help="JSON field, or column of Parquet, with the lines.")


def key_options(command: F) -> F:
    """Add where the keys of a new log go, which `init` and `rekey` share."""
    for add in reversed(_KEYS):
        command = add(command)
    return command


_KEYS = (
    option("--verification-key", type=click.Path(), metavar="FILE", callback=file_or_output,
           help="Write the key to FILE, not to standard output."),
    option("--public-file", type=click.Path(), metavar="FILE", help="Write the public key to FILE, for auditors."),
)  # fmt: skip


def sealing_options(command: F) -> F:
    """Add what `seal` and `run` share."""
    for add in reversed(_SEALING):
        command = add(command)
    return command


def agent_options(command: F) -> F:
    """Add what the agent shares with `seal` and `run`: all but the encoding of what it reads."""
    for add in reversed(_SEALING):
        if add is not _encoding:
            command = add(command)
    return command


_encoding = option("--encoding", type=click.Choice(ENCODINGS), metavar="NAME",
                   help="Of the input; auto seals UTF-16 and UTF-32 as UTF-8.")  # fmt: skip

_SEALING = (
    output_option("Append to FILE instead of standard output."),
    store_option,
    custody_option,
    user_option,
    _encoding,
    option("--control", type=click.Choice(["auto", "plain", "json"]), default="auto", metavar="FORM",
           help="Form of control lines: auto, plain, json [auto]."),
    option("--epoch-lines", type=click.IntRange(1, 65534), default=4096, metavar="N",
           help="An epoch ends after N lines [4096]."),
    option("--epoch-age", type=DURATION, metavar="TIME", default="60s", help="An epoch ends after this time [60s]."),
    option("--heartbeat", type=DURATION, metavar="TIME", help="Write a checkpoint this often, even without lines."),
    option("--durability", type=click.Choice(["flush", "sync", "sync-each"]), default="flush", metavar="LEVEL",
           help="flush, sync (checkpoints) or sync-each (line) [flush]."),
    option("--witness", "witnesses", multiple=True, metavar="URL[=KEY]",
           help="Show a witness how far the log has come."),
    option("--witness-each", is_flag=True, help="Wait after each line until witnesses have it."),
    option("--quorum", type=int, metavar="K", help="How many witnesses are enough [all]."),
    option("--on-full", type=click.Choice(["block", "drop", "stop"]), default="block", metavar="ACTION",
           help="Without room: block, drop (and count) or stop [block]."),
    option("--wait", type=DURATION, metavar="TIME", help="Wait for another writer to end; hold lines."),
    option("--rotate-size", type=SIZE, metavar="SIZE", help="Begin a new FILE at this size: 100MB."),
    option("--rotate-age", type=DURATION, metavar="TIME", help="Begin a new FILE at this age: 1d."),
    option("--keep", type=KEEP, metavar="N|TIME", help="Keep so many rotated files, or so long: 90d."),
    option("--ship", metavar="URL", help="Move rotated files to s3://BUCKET/PREFIX, …"),
    option("--lock", type=DURATION, metavar="TIME", help="Nobody can remove them there for so long: 400d."),
    option("--compress", type=click.Choice(["gz", "zst"]), metavar="FORM", help="Compress rotated files: gz or zst."),
)  # fmt: skip


def rotation(options: dict[str, Any]) -> dict[str, Any]:
    """Put the options of rotation together, and those of witnesses, as writers take them."""
    from tallystick.writer.witnesses.policy import Policy

    named, quorum, each = (options.pop(name) for name in ("witnesses", "quorum", "witness_each"))
    options["witnesses"] = Policy.of(named, quorum, each=each)
    if options.get("user") is not None and options.get("output") is None:
        raise click.UsageError("--as goes with a file; name it with -o FILE")
    size, age, keep, compress = (options.pop(name) for name in ("rotate_size", "rotate_age", "keep", "compress"))
    ship, lock = options.pop("ship"), options.pop("lock")
    if size is None and age is None:
        if not (keep is compress is ship is lock is None):
            raise click.UsageError("--keep, --compress, --ship and --lock go with --rotate-size or --rotate-age")
        return options
    if lock is not None and ship is None:
        raise click.UsageError("--lock goes with --ship")
    if ship is not None and keep is not None:
        raise click.UsageError("--ship removes each file when it is in the archive: leave --keep out")
    if not isinstance(options.get("output"), str):
        raise click.UsageError("only a file can be rotated; name it with -o FILE")
    from tallystick.sinks.rotation import Rotation

    kept = {"keep" if isinstance(keep, int) else "keep_for": keep} if keep is not None else {}
    return {**options, "rotation": Rotation(size=size, age=age, compress=compress, ship=ship, lock=lock, **kept)}
