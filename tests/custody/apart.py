"""A custody that is asked in a process of its own, as writers ask it: libraries of HSMs read their settings once."""

import base64
import json
import subprocess
from dataclasses import replace

from tallystick import custody as custodies
from tallystick import errors
from tallystick._core import DataKey
from tallystick.errors import KeyStoreError
from tests import preloaded
from tests.custody.keys import text_of

LOADS = ("tests.custody.apart", "pkcs11", "tpm2_pytss")
"""What such a process needs; libraries of HSMs are loaded when one is asked."""

PROGRAM = """
import base64, json, sys
from tallystick import custody as custodies, errors
from tallystick._core import DataKey
from tests.custody.apart import lost
from tests.custody.keys import text_of
def given(name):
    return None if asked[name] is None else base64.b64decode(asked[name])
for line in sys.stdin:
    asked = json.loads(line)
    confirm = lost if asked["lost"] else lambda: None
    owner = custodies.Owner(given("root"), given("context"), asked["version"], confirm)
    try:
        custody = custodies.connect(asked["url"])
        what = getattr(custody, asked["what"])
        if asked["what"] == "wrap":
            answer = what(DataKey.parse(asked["key"]), owner, given("replacing"))
        else:
            answer = what(given("wrapped"), owner)
        answer = text_of(answer) if isinstance(answer, DataKey) else answer or b""
        print(json.dumps({"answer": base64.b64encode(answer).decode()}), flush=True)
    except errors.TallystickError as error:
        print(json.dumps({"error": type(error).__name__, "said": str(error), "hint": error.hint}), flush=True)
"""


def lost():
    """Say what a lease says that has passed to another writer."""
    raise KeyStoreError("the lease of log payments passed to another writer")


class Apart:
    """A custody, each of whose calls is made in another process."""

    def __init__(self, url):
        self.custody = custodies.connect(url)
        self.url = url

    def wrap(self, key, owner, replacing=None):
        return self._ask("wrap", owner, key=text_of(key).decode(), replacing=_coded(replacing))

    def unwrap(self, wrapped, owner):
        return DataKey.parse(self._ask("unwrap", owner, wrapped=_coded(wrapped)).decode())

    def forget(self, wrapped, owner):
        self._ask("forget", owner, wrapped=_coded(wrapped))

    def destroy(self, wrapped, owner):
        self._ask("destroy", owner, wrapped=_coded(wrapped))

    def forgets(self, wrapped=None):
        return self.custody.forgets(wrapped)

    def _ask(self, what, owner, **given):
        asked = {
            "url": self.url, "what": what, "root": _coded(owner.root), "context": _coded(owner.context),
            "version": owner.version, "lost": owner.confirm is lost, **given,
        }  # fmt: skip
        said = json.loads(self._answer(json.dumps(asked)))
        if "error" in said:
            raise getattr(errors, said["error"])(said["said"], hint=said["hint"])
        return base64.b64decode(said["answer"])

    def _answer(self, asked):
        return preloaded.execute(PROGRAM, stdin=asked.encode(), loads=LOADS)


class Beside(Apart):
    """A custody, all of whose calls are made in one other process, for tests that make many."""

    def __init__(self, url):
        super().__init__(url)
        self.process = preloaded.Running([], PROGRAM, LOADS, stdin=subprocess.PIPE, stderr=2)

    def _answer(self, asked):
        print(asked, file=self.process.stdin, flush=True)
        return self.process.stdout.readline()

    def end(self):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


def losing(owner):
    """The same log, whose writer has lost its lease."""
    return replace(owner, confirm=lost)


def _coded(data):
    return None if data is None else base64.b64encode(data).decode()
