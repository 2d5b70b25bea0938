"""How much at once is taken from one address, or of one log: buckets that fill up again.

>>> limits = Limits(rate=2.0, burst=3.0)
>>> [limits.wait("a", 1.0, now=0.0) for _ in range(4)], limits.wait("a", 1.0, now=1.0), limits.wait("b", 9.0, now=0.0)
([0.0, 0.0, 0.0, 0.5], 0.0, 0.0)
"""

import ipaddress
from collections import OrderedDict

__all__ = ["Limits", "neighbourhood"]

_MOST = 20_000  # buckets; those that were used longest ago are full again by then, or their owners many


class Limits:
    """Buckets, one for each owner.

    Args:
        rate: What flows in, a second.
        burst: What a bucket holds.
    """

    def __init__(self, rate: float, burst: float) -> None:
        self._rate, self._burst = rate, burst
        self._buckets: OrderedDict[object, tuple[float, float]] = OrderedDict()

    def wait(self, owner: object, amount: float, now: float) -> float:
        """Take something out; or return after how many seconds to ask again, if it is not there.

        More than a bucket holds is taken from a full one, which is in debt afterwards.

        Args:
            owner: Whose bucket.
            amount: How much.
            now: The clock that nobody sets, in seconds.
        """
        level, then = self._buckets.pop(owner, (self._burst, now))
        level = min(self._burst, level + (now - then) * self._rate)
        lacking = min(amount, self._burst) - level
        self._buckets[owner] = (level - amount if lacking <= 0 else level, now)
        if len(self._buckets) > _MOST:
            self._buckets.popitem(last=False)
        return max(lacking, 0.0) / self._rate

    def charge(self, owner: object, amount: float, now: float) -> None:
        """Take something out that was used already, whatever is there; it may be in debt afterwards.

        Args:
            owner: Whose bucket.
            amount: How much.
            now: The clock that nobody sets, in seconds.
        """
        self.wait(owner, 0.0, now)
        level, _ = self._buckets[owner]
        self._buckets[owner] = (level - amount, now)


def neighbourhood(address: str) -> str:
    """Return whose bucket an address takes from: of IPv6 a customer has a whole /64.

    >>> neighbourhood("2001:db8::1:2"), neighbourhood("192.0.2.7"), neighbourhood("")
    ('2001:db8::/64', '192.0.2.7', '')
    """
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if found.version == 4 or found.ipv4_mapped is not None:
        return str(getattr(found, "ipv4_mapped", None) or found)
    return str(ipaddress.ip_network((found, 64), strict=False))
