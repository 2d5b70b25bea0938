"""Evidence: a small file that proves one line to a holder of the public key, and redaction (spec sections 4 and 10).

>>> import tempfile, tallystick
>>> with tempfile.TemporaryDirectory() as d:
...     place = {"store": f"file:{d}/store"}
...     keys = {"key_file": f"{d}/app.key", "public_file": f"{d}/app.pub"}
...     _ = tallystick.create("app", **place, custody=f"master-key:{d}/master.key", **keys)
...     with tallystick.open("app", output=f"{d}/app.log", **place) as log:
...         log.write("user=7 action=login")
...     proof = prove("1.0.1", [f"{d}/app.log"], output=f"{d}/login.evidence")
...     checked = check(f"{d}/login.evidence", public=f"{d}/app.pub")
>>> checked.verdict, checked.log, checked.position, checked.text
(<Verdict.OK: 'ok'>, 'app', '1.0.1', b'user=7 action=login')
"""

from tallystick.evidence.checking import Checked, Received, check
from tallystick.evidence.finding import parse_position
from tallystick.evidence.proving import Proof, prove
from tallystick.evidence.redacting import Redaction, redact

__all__ = ["Checked", "Proof", "Received", "Redaction", "check", "parse_position", "prove", "redact"]
