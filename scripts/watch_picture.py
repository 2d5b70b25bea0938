"""Make the pictures of the watch service's page: `python scripts/watch_picture.py` writes docs/pictures/watch*.png.

Logs are sealed, some of them are doctored, all are verified, and the page that shows the result is opened in headless
Chromium. What a state of operation would take hours to become, such as `silent`, is set by hand.
"""

import os
import random
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.browser import Browser  # noqa: E402
from tests.watch.web.board import DAY, HOUR, MINUTE, Board, Place, now, seen, standing  # noqa: E402

from tallystick.watch.config import Web  # noqa: E402
from tallystick.watch.standing import Band, State  # noqa: E402
from tallystick.watch.web import serve  # noqa: E402

PICTURES = ROOT / "docs" / "pictures"
WELL = ("accounts", "audit-db", "cards", "gateway-eu", "gateway-us", "ledger", "mail", "portal", "vault", "vpn")
LIVE = "document.getElementById('live').textContent === 'live'"


def lines(name: str, count: int) -> list[str]:
    """Return lines that an application could have written."""
    dice = random.Random(name)
    return [
        f"user={dice.randrange(100, 999)} action={dice.choice(['login', 'transfer', 'read', 'grant'])} "
        f"amount={dice.randrange(1, 5000)} ok=true"
        for _ in range(count)
    ]


def board(place: Place) -> Board:
    """Return standings of logs that were sealed, doctored and verified here."""
    made, dice, end = Board(), random.Random(5), now()

    def put(name: str, path: Path, state: State, since: int, trouble: str = "") -> None:
        report = place.report(name, path)
        look = seen(report, line=end - dice.randrange(1, 9) * 1000 - (40 * MINUTE if state is State.SILENT else 0))
        one = standing(name, report, state, since=end - since, trouble=trouble, seen=look)
        day = [Band(end - DAY, end - since, State.OK), Band(end - since, end, state)] if state is not State.OK else []
        short = Band(end - 9 * HOUR, end - 9 * HOUR + 20 * MINUTE, dice.choice([State.OK, State.OK, State.STALE]))
        made.put(one, day or [Band(end - DAY, short.begin, State.OK), short, Band(short.end, end, State.OK)], report)

    for name, attack in (("payments", "edit a line"), ("admin", "delete a line")):
        place.log(name, lines(name, 400), chains=4)
        place.doctored(name, attack).replace(f"{name}.log")
        put(name, Path(f"{name}.log"), State.FAILED, dice.randrange(20, 200) * MINUTE)
    for name in (*WELL, "billing", "sensors/hall-3"):
        place.log(name.replace("/", "-"), lines(name, dice.randrange(100, 900)), chains=2)
    for name in WELL:
        put(name, Path(f"{name}.log"), State.OK, dice.randrange(2, 40) * DAY)
    trouble = "the key store https://bao.example:8200 does not answer"
    put("billing", Path("billing.log"), State.STALE, 26 * MINUTE, trouble)
    put("sensors-hall-3", Path("sensors-hall-3.log"), State.SILENT, 25 * MINUTE)
    return made


def main() -> None:
    """Make the pictures."""
    with tempfile.TemporaryDirectory() as directory:
        os.chdir(directory)  # so that paths are short
        server = serve(Web("127.0.0.1", 0), board(Place(Path("."))))
        server.start()
        browser = Browser(Path(directory))
        try:
            for scheme, ending in (("light", ""), ("dark", "-dark")):
                browser.look(1080, 700, scheme=scheme)
                browser.open(server.address)
                browser.until(LIVE)
                browser.picture(PICTURES / f"watch{ending}.png")
            browser.look(1080, 1150)
            browser.open(f"{server.address}/logs/payments")
            browser.until(LIVE)
            browser.picture(PICTURES / "watch-log.png")
        finally:
            browser.close()
            server.stop(3)
            os.chdir(ROOT)


if __name__ == "__main__":
    main()
