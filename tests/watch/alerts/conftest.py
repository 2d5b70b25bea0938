import pytest

from tallystick.watch import config
from tallystick.watch.alerts import Alerts, Pace
from tests.watch.alerts.receiving import Hook

QUICK = Pace(first=0.02, longest=0.1)


@pytest.fixture
def hook():
    """A receiver that takes all, until its plan is changed."""
    server = Hook().start()
    yield server
    server.stop()


@pytest.fixture
def alerts(tmp_path):
    """Make alerts to some receivers, with short rests, in one directory; they are stopped with the test."""
    made = []

    def make(*to, start=True, said=None, **more):
        told = said if said is not None else []
        given = config.Alerts(tuple(config.Webhook(one.url) if isinstance(one, Hook) else one for one in to))
        made.append(Alerts(given, tmp_path / "state", **({"pace": QUICK, "say": told.append} | more)))
        if start:
            made[-1].start()
        return made[-1]

    yield make
    for one in made:
        one.stop(0)
