"""Every file of ours is opened here.

**The rule.** A path that the user gives is resolved once; links in it are followed, but for those that a stranger can
have put there. From then on a file is named by an open directory and its name in it, and no link is followed. Only a
regular file is written to, compressed or removed, and only one of the expected owner. A new file is made by its name
or not at all, and has no more rights than the file that it was made from. No file of ours is ever standard input,
output or error.

| files | directory | owner | mode | by |
| --- | --- | --- | --- | --- |
| key stores, master keys, keys | ours alone | we | 0600 | `private` |
| logs, rotated and compressed files | ours; another's by `--as` | the first one's, we, root | kept | `place` |
| pins | ours or root's, which nobody else may write to | we or root | 0600 | `private`, `shared` |
| evidence, reports, copies | any, for the file is new | we | at most its source's | `result` |

A *stranger* is a user other than this one and root, who may write to a directory: its owner, or its group where this
process does not belong to it, or everybody.

>>> import os, tempfile
>>> with tempfile.TemporaryDirectory() as path:
...     directory = open_directory(path)
...     replace_file("head", b"old", directory)
...     replace_file("head", b"new", directory)
...     os.listdir(directory), read_file("head", directory, bytearray, limit=100)
...     os.close(directory)
(['head'], bytearray(b'new'))
"""

from tallystick.securefile.acting import Actor
from tallystick.securefile.content import write_all
from tallystick.securefile.descriptors import hold_standard, names, opened
from tallystick.securefile.held import directory_of, naming, sync_held
from tallystick.securefile.locks import lock, unlock
from tallystick.securefile.place import Place
from tallystick.securefile.private import (
    create_file,
    creating,
    exchange_file,
    is_at,
    make_directories,
    make_directory,
    open_directory,
    open_file,
    open_path,
    put_file,
    read_file,
    replace_file,
    sweep,
    sync_directory,
    wipe_file,
)
from tallystick.securefile.result import new_file, refuse_existing, write_over
from tallystick.securefile.rights import PRIVATE, Rights, keep_rights
from tallystick.securefile.trouble import RefusedError, in_words, no_link, reporting, user_name

__all__ = [
    "PRIVATE",
    "Actor",
    "Place",
    "RefusedError",
    "Rights",
    "create_file",
    "creating",
    "directory_of",
    "exchange_file",
    "hold_standard",
    "in_words",
    "is_at",
    "keep_rights",
    "lock",
    "make_directories",
    "make_directory",
    "names",
    "naming",
    "new_file",
    "no_link",
    "open_directory",
    "open_file",
    "open_path",
    "opened",
    "put_file",
    "read_file",
    "refuse_existing",
    "replace_file",
    "reporting",
    "sweep",
    "sync_directory",
    "sync_held",
    "unlock",
    "user_name",
    "wipe_file",
    "write_all",
    "write_over",
]  # fmt: skip
