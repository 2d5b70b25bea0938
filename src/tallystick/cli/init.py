"""`tallystick init`: sets a log up and hands out its verification key."""

import click

from tallystick.cli.options import custody_option, name_argument, option, store_option
from tallystick.cli.output import say

_EPILOG = """Example:

\b
  tallystick init payments --verification-key payments.key --public-file payments.pub
"""


@click.command("init", epilog=_EPILOG)
@name_argument
@store_option
@custody_option
@option(
    "--verification-key",
    type=click.Path(),
    metavar="FILE",
    help="Write the key to FILE, not to the terminal.",
)
@option("--public-file", type=click.Path(), metavar="FILE", help="Write the public key to FILE, for auditors.")
@click.option("--recipient", metavar="age1...", help="Encrypt the key for this public key of age.")
@click.option("--qr", is_flag=True, help="Show the key on the terminal as a QR code, too.")
def command(
    name: str,
    store: str | None,
    custody: str | None,
    verification_key: str | None,
    public_file: str | None,
    recipient: str | None,
    qr: bool,
) -> None:
    """Set the log NAME up: its key store entry, its custody, its keys.

    The verification key is shown once and kept nowhere: it belongs on another machine, with whoever verifies.
    Without --verification-key it goes to standard output.
    """
    from tallystick.ceremony import create

    if qr and (verification_key is not None or recipient is not None):
        raise click.UsageError("--qr shows the key on the terminal; it goes with neither a file nor a recipient")
    target: str | int = 1 if verification_key is None else verification_key
    made = create(
        name, store=store, custody=custody, key_file=target, public_file=public_file, recipient=recipient, qr=qr
    )
    say(f"log {made.name} is set up (log id {made.log_id})")
    say(f"  key store         {made.store}")
    say(f"  custody           {made.custody}")
    say(f"  forgets           {made.forgets}")
    say(f"  public key        {made.public_key}")
    if recipient is not None:
        where = "printed above" if verification_key is None else verification_key
        say(f"  verification key  {where}, encrypted: age --decrypt -i IDENTITY opens it, on another machine")
    elif verification_key is None:
        say("  verification key  printed above, this once: keep it on another machine, it is kept nowhere here")
    else:
        say(f"  verification key  {verification_key}: move it to another machine and delete it here")
    say(f"next: my-service 2>&1 | tallystick seal {made.name} -o audit.log")
