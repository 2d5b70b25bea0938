"""What files are that are no logs: keys and other files of this program, and forms that are not read here.

A file counts as a key, a head or the like only if all of it has that form, so nobody can hide a line in one. What may
be secret is looked at in memory that is wiped, and nothing of it is shown anywhere.

>>> ours(b"tallysecret1" + 200 * b"q" + b"\\n", 213), ours(b"user=7 tallysecret1" + 200 * b"q", 219)
('a verification key', None)
>>> blanked("key tallysecret1qqqqqq of user=7")
'key (a secret, not shown) of user=7'
"""

import os
import re

__all__ = ["MOST", "blanked", "foreign", "ours", "ours_in", "store_of"]

MOST = 2**20  # bytes of the longest file of ours that is recognized, but for narrowed keys

_KEY = 8192  # bytes that are looked at of what may be a key; the slots beside a master key are as long
# Expressions are compiled when they are first used: most commands need few of them.
_BECH32 = rb"[qpzry9x8gf2tvdw0s3jn54khce6mua7l]"
_B64 = rb"[A-Za-z0-9_-]"
# Slices of what may be secret would be copies that nobody wipes; these look at it where it stands.
_SECRET = rb"(?i)\s*tallysecret1%s{20,}\s*" % _BECH32
_LETTERS_ONLY = rb"(?i)(?:\s*tallysecret1)?%s*\s*" % _BECH32
_OURS = rb"(?i)\s*(?:tally|#|PRIVATE\+KEY\+)"
_MASTER = rb"%s{43}\n?" % _B64
_SLOT = rb"(?:(?:tallystick-slot1.{112}|\0{128})\0{3968})"
_SLOTS = rb"(?s)(?=.*tallystick-slot1)%s{2}" % _SLOT
_SIGNED = rb"(?:[ \t\r]*\n|tallystick/v1 (?:open|checkpoint) [^\n]*+(?:\n|\Z))"
_WITNESSED = (
    rb"(?:tallystick/v1 head [^\n]*+(?:\n|\Z)"
    rb"|tallystick/v1 receipt\n(?:[!-~][ -~]*\n)+\n(?:\xe2\x80\x94 [^\n]+(?:\n|\Z))+)"
)
_FORMS = (
    (
        "a public file",
        rb"(?i)\s*tallypub1%s+[ \t\r]*(?:\n[ \t\r\n]*tallystick/v1 open [^\n]*)*\s*" % _BECH32,
    ),
    ("a head", rb"\s*tallyhead [a-z2-7]{8} [0-9]+\.[0-9]+\.[0-9]+\.%s{43} %s+\s*" % (_B64, _B64)),
    ("pins", rb"(?:[ \t]*(?:#[^\n]*)?\n)*[ \t]*tallypin [^\n]+(?:\n[ \t]*(?:tallypin [^\n]*|#[^\n]*)?)*"),
    (
        "a sealing state",
        rb"tallystick-state v1(?:\n(?:public|chain|version|custody|wrapped|keys|open|secret) [^\n]*)+\n?",
    ),
    (
        "the ages of rotated files",
        rb"tallystick-ages v1\n(?:(?:seen|file) [0-9.]+ [!-~]+(?: [0-9.]+)?\n)+",
    ),
    (
        "evidence",
        rb"tallystick/v1 evidence\n(?:tallystick/v1 [^\n]*\n)+proof[^\n]*\nline [^\n]*\n?",
    ),
    ("signed heads or receipts", rb"%s*%s(?:%s|%s)*" % (_SIGNED, _WITNESSED, _SIGNED, _WITNESSED)),
    ("a witness's key", rb"\s*PRIVATE\+KEY\+[!-~]+\s*"),
    ("a record of what was verified", rb"(?s)tallymem[\x01-\x04].{32}\x28\xb5\x2f\xfd.*"),
    ("a partial result", rb"(?s)tallypart[\x01\x02].*"),
)
_SEALED = rb"tally=[a-z2-7]{8}\.[0-9]+\.[0-9]+\.[0-9]+\.[0-9]+\.%s{22}\s*\n" % _B64
_STORE = r"(?:lock|note|state|head)(?:\.new|\.old)?"
"""Names of the files in a key store's directory of one log."""


def ours(beginning: bytes | bytearray, size: int) -> str | None:
    """Return what a file of this program is that is no log.

    Args:
        beginning: The file, or its first `MOST` bytes.
        size: Bytes of the file.
    """
    if size <= len(beginning) and re.fullmatch(_SECRET, beginning):
        return "a verification key"
    if size in (43, 44) and re.fullmatch(_MASTER, beginning):
        return "a master key by its form"
    if size == _KEY and re.fullmatch(_SLOTS, beginning):
        return "the slots of a master key"
    if size > len(beginning) or not re.match(_OURS, beginning):
        return None
    what = next((what for what, form in _FORMS if re.fullmatch(form, beginning)), None)
    # A public file holds no sealed line; the one of evidence is its last.
    return None if what is not None and what != "evidence" and re.search(_SEALED, beginning) else what


def ours_in(fd: int, size: int) -> str | None:
    """Return what a file of this program is that is no log, without leaving its bytes anywhere.

    Args:
        fd: Its descriptor.
        size: Bytes of the file.

    Raises:
        OSError: It cannot be read.
    """
    held = bytearray(min(size, _KEY))
    try:
        got = os.preadv(fd, [held], 0)
        if size > _KEY and re.fullmatch(_SECRET, held) and _is_long_key(fd, size):
            return "a verification key"
        found = ours(held, min(size, got) if size <= _KEY else size)
        if found is None and _KEY < size <= MOST and re.match(_OURS, held):
            return ours(os.pread(fd, size, 0), size)
        return found
    finally:
        held[:] = bytes(len(held))


def _is_long_key(fd: int, size: int) -> bool:
    """Has all of a file the letters of a key? Those that were narrowed to many chains are long."""
    held, at = bytearray(2**16), 0
    try:
        while at < size and (got := os.preadv(fd, [held], at)):
            if not re.compile(_LETTERS_ONLY).fullmatch(held, 0, got):
                return False
            at += got
        return True
    finally:
        held[:] = bytes(len(held))


def store_of(path: str) -> str | None:
    """Return the directory of a log in a key store that a file would belong to by its name."""
    directory, name = os.path.split(path)
    return directory if re.fullmatch(_STORE, name) else None


_SHOWN = "(a secret, not shown)"
_LETTERS = r"[qpzry9x8gf2tvdw0s3jn54khce6mua7l]"
_SECRETS = (
    rf"(?i)tallysecret1{_LETTERS}*"
    rf"|(?<![A-Za-z0-9]){_LETTERS}{{50,}}"  # the rest of a key that was broken into lines
    r"|(?<=tallyhead )[^\"]*"
    r"|PRIVATE\+KEY\+\S*"
)
_KEY_ALONE = r"(?a)(?<![\w-])[\w-]{43}(?![\w-])"
_KEY_CUT = r"(?a)(?<![\w-])[\w-]{8,42}$"
_PUBLIC = ("tallystick/v1 ", "tallypin ", "tally=", '"tally":"')
"""Texts with hashes of the form of a master key: these are public."""


def blanked(text: str, *, cut: bool = False) -> str:
    """Return text without anything of the form of a secret of ours.

    Args:
        text: The text.
        cut: It may go on, so its end may be the beginning of a secret.
    """
    text = re.sub(_SECRETS, _SHOWN, text)
    if any(word in text for word in _PUBLIC):
        return text
    text = re.sub(_KEY_ALONE, _SHOWN, text)
    return re.sub(_KEY_CUT, _SHOWN, text) if cut else text


_FOREIGN: tuple[tuple[bytes, str, str], ...] = (
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", "unpack it first"),
    (b"Rar!\x1a\x07", "a RAR archive", "unpack it first"),
    (b"MSCF\0\0\0\0", "a cabinet archive", "unpack it first"),
    (b"!<arch>\n", "an ar archive or package", "unpack it first"),
    (b"\xed\xab\xee\xdb", "an RPM package", "unpack it first"),
    (b"070701", "a cpio archive", "unpack it first"),
    (b"070707", "a cpio archive", "unpack it first"),
    (b"LZIP\x01", "compressed by lzip", "unpack it first"),
    (b"\x1f\x9d", "compressed by compress", "unpack it first"),
    (b"\x5d\0\0", "compressed as LZMA alone", "unpack it first"),
    (b"\x02\x21\x4c\x18", "compressed by lz4 in its legacy form", "unpack it first"),
    (b"\x89LZO\0\r\n\x1a\n", "compressed by lzop", "unpack it first"),
    (b"\xff\x06\0\0sNaPpY", "compressed by snappy", "unpack it first"),
    (b"LPKSHHRH", "a journal of systemd", "export it: journalctl --file FILE -o export, --envelope journal-export"),
    (b"age-encryption.org/", "encrypted by age", "decrypt it first"),
    (b"-----BEGIN AGE ENCRYPTED FILE-----", "encrypted by age", "decrypt it first"),
    (b"-----BEGIN PGP MESSAGE-----", "encrypted by OpenPGP", "decrypt it first"),
    (b"ElfFile\0", "an event log of Windows", "export its messages as text"),
    (b"PAR1", "a Parquet file", "name the column that holds the lines: --envelope parquet --field COLUMN"),
    (b"PARE", "an encrypted Parquet file", "decrypt it first"),
    (b"SQLite format 3\0", "an SQLite database", "export the lines as text"),
    (b"%PDF-", "a PDF file", "give the lines as text"),
)


def foreign(beginning: bytes) -> str | None:
    """Return what a file is that is in a form that is not read here, and what to do.

    >>> foreign(b"Rar!\\x1a\\x07\\x01\\x00")
    'a RAR archive, which is not read here; unpack it first'
    """
    found = next(((what, do) for magic, what, do in _FOREIGN if beginning.startswith(magic)), None)
    return f"{found[0]}, which is not read here; {found[1]}" if found else None
