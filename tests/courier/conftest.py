"""Tests of the courier have real ones."""

import pytest

from tests import couriers


@pytest.fixture(autouse=True)
def _real():
    with couriers.real():
        yield
