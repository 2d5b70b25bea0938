"""Others may scan chunks for a verification, as workers of a page do: what they hand in is as good as its own."""

from dataclasses import replace

import pytest

from tallystick import _core
from tallystick.verify.request import Request
from tallystick.verify.run import carry_out
from tests import vectors

LOG = (vectors.VECTORS / "plain.log").read_bytes()
KEYS = vectors.KEYS["text"]


class Others:
    """Scan some of the chunks, and hand in bytes."""

    def __init__(self, keys, envelope, wanted):
        self.keys, self.envelope, self.wanted, self.scanned_by_them = keys, envelope, wanted, 0

    def scanned(self, chunks, here):
        for chunk in chunks:
            if self.wanted(chunk):
                self.scanned_by_them += 1
                found = chunk.given_to(_core.scan, self.keys, _core.Mode.all(), self.envelope)
                yield chunk, _core.Summary(found.to_bytes())
            else:
                yield chunk, here(chunk)


@pytest.mark.parametrize("key", ["keys", "public"])
@pytest.mark.parametrize("theirs", [{0, 1, 2}, {1}, {0, 2}, set()])
def test_the_report_is_the_same_whoever_scans(tmp_path, key, theirs):
    at = LOG.index(b"\n", len(LOG) // 2) + 1
    for name, part in (("a.log", LOG[:at]), ("b.log", LOG[at:].replace(b"crash", b"flash")), ("c.log", LOG[:at])):
        (tmp_path / name).write_bytes(part)
    text = KEYS["verification_key" if key == "keys" else "public_key"]
    (tmp_path / "key").write_text(text + "\n")
    asked = Request.of([tmp_path / f"{name}.log" for name in "abc"], **{key: [tmp_path / "key"]}, store="none", jobs=1)
    made = []

    def beside(keys, envelope):
        made.append(Others(keys, envelope, lambda chunk: chunk.file in theirs))
        return made[-1]

    alone = carry_out(asked)
    together = carry_out(replace(asked, beside=beside))
    assert [one.scanned_by_them for one in made] == [len(theirs)]
    assert len(alone.findings) > 2
    assert replace(together, seconds=0, time=0) == replace(alone, seconds=0, time=0)
