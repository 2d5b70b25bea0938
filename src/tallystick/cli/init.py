"""`tallystick init`: sets a log up and hands out its verification key."""

import click

from tallystick.cli.command import Command, option
from tallystick.cli.options import custody_option, key_options, name_argument, store_option
from tallystick.cli.output import say
from tallystick.cli.streams import STDOUT, is_output, only_one

_EPILOG = """Example:

\b
  tallystick init payments --verification-key payments.key --public-file payments.pub
  tallystick init payments --verification-key - | age -r age1... > payments.key.age
"""


@click.command("init", cls=Command, epilog=_EPILOG)
@name_argument
@store_option
@custody_option
@key_options
@option("--adopt", type=click.Path(exists=True, dir_okay=False), metavar="FILE", help="Seal what FILE holds so far.")
def command(
    name: str,
    store: str | None,
    custody: str | None,
    verification_key: str | None,
    public_file: str | None,
    adopt: str | None,
) -> None:
    """Set the log NAME up: its key store entry, its custody, its keys.

    The verification key is shown once and stored nowhere else: it belongs on another machine, where logs are verified.
    Without --verification-key it goes to standard output. With --adopt the log's first chain records what FILE held
    before, and FILE goes on as the log's file.
    """
    from tallystick.ceremony import create

    public_shown = is_output(public_file)
    only_one(the_verification_key=verification_key is None, the_public_key=public_shown)
    made = create(
        name,
        store=store,
        custody=custody,
        key_file=STDOUT if verification_key is None else verification_key,
        public_file=STDOUT if public_shown else public_file,
    )
    say(f"log {made.name} is set up (log id {made.log_id})")
    say(f"  key store         {made.store}")
    say(f"  custody           {made.custody}")
    say(f"  forgets           {made.forgets}")
    say(f"  public key        {made.public_key}")
    if verification_key is None:
        say("  verification key  on standard output, this once: store it on another machine, it is stored nowhere here")
    else:
        say(f"  verification key  {verification_key}: move it to another machine and delete it here")
    if adopt is not None:
        from tallystick.log import open_log

        open_log(name, output=adopt, store=store, custody=custody, adopt=True).close()
        say(f"  adopted           {adopt}, as it is now")
    say(f"next: my-service 2>&1 | tallystick seal {made.name} -o {adopt or 'audit.log'}")
