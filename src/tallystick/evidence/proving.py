"""Makes evidence of one line (spec section 10)."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from tallystick.evidence.finding import found, rights
from tallystick.evidence.reading import StrPath
from tallystick.securefile import new_file, refuse_existing, write_all
from tallystick.verify.columns import Column
from tallystick.verify.inputs import named_envelope

__all__ = ["Proof", "prove"]


@dataclass(frozen=True, slots=True)
class Proof:
    """Evidence that was made.

    Args:
        log: Name of the log, as its checkpoint says.
        log_id: Its log id.
        position: `chain.epoch.index` of the line.
        evidence: The evidence file.
    """

    log: str
    log_id: str
    position: str
    evidence: bytes


def prove(
    position: str,
    paths: Iterable[StrPath],
    *,
    public: StrPath | None = None,
    receipts: Iterable[StrPath] = (),
    envelope: str | None = None,
    field: str | None = None,
    output: StrPath | int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Proof:
    """Make evidence of one line; no key is needed here, only for checking it.

    Args:
        position: `chain.epoch.index`, with the log id and a dot before it where files hold lines of several logs.
        paths: Files that hold all lines of the line's epoch and its checkpoint, in any order.
        public: Public file of the log, for openings of older generations that are not in the files.
        receipts: Files of receipts. What leads from them to the line becomes part of the evidence; so the paths must
            hold the checkpoints between, too. A line of an epoch that has not ended needs a signed head with a receipt.
        envelope: What a carrier wrapped the lines in, as for `verify`.
        field: Name of the JSON field that holds the lines.
        output: Where the evidence goes, if anywhere: a file that must not exist yet, or a descriptor.
        progress: Called with the bytes read so far and those there are.

    Returns:
        The evidence, and what it is of.

    Raises:
        FormatError: The position or the public file is invalid.
        ReportError: The line cannot be proved, or no receipt leads to it, with the reason, or a file cannot be read or
            written.
    """
    refuse_existing(output)
    wrapping, column = named_envelope(envelope, field), Column.named(envelope, field)
    with found(position, paths, public, wrapping, progress, receipts, column) as (line, inputs):
        data, allowed = line.evidence, rights(inputs)
    if output is not None:
        with new_file(output, allowed) as file:
            write_all(file, data)
    return Proof(line.name, line.log_id, position.removeprefix(f"{line.log_id}."), data)
