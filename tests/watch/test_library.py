"""`tallystick.watch()` watches in this process, and hands each event on until it is taken."""

from pathlib import Path

import pytest

import tallystick
from tallystick.errors import ReportError
from tests.servers import until
from tests.watch.playing import INTERVAL, Site, edited


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A place for logs."""
    return Site(tmp_path)


def test_an_event_whose_function_raises_is_handed_on_again_with_the_same_id(site: Site) -> None:
    live = site.log("app")
    with tallystick.open("app", output=str(live), **site.place) as log:
        log.write("user=7 action=login")
    ids: list[str] = []

    def take(event: object) -> None:
        ids.append(event.id)  # type: ignore[attr-defined]
        if len(ids) == 1:
            raise ValueError("not now")

    given = {"keys": [site.path / "app.key"], "state": site.path / "watch", "interval": INTERVAL, **site.place}
    with tallystick.watch([live], on_event=take, **given) as service:
        assert service.wait_for_all(60)
        edited(live, lambda data: data.replace(b"user=7", b"user=8"))
        until(lambda: len(ids) == 2, "the event, twice")
    assert ids[0] == ids[1]


def test_a_log_is_not_watched_without_a_key(tmp_path: Path) -> None:
    with pytest.raises(ReportError, match="key"):
        tallystick.watch([tmp_path / "app.log"], state=tmp_path / "watch", on_event=print)


def test_the_package_has_the_function_also_once_its_modules_are_imported() -> None:
    import tallystick.watch.config

    assert callable(tallystick.watch)
