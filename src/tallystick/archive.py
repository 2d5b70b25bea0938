"""Whether a bucket of S3 keeps what was put there: all versions of all objects, and their locks.

A verification sees the newest versions only. Somebody who can write to a bucket, but not break its locks, can hide a
locked version behind a newer one or a delete marker, and can leave objects without a lock. Contents are not read here.

>>> now = datetime.datetime(2026, 11, 28, tzinfo=datetime.UTC)
>>> locked = Version("a.log", "1", "etag", 10, now, Lock("COMPLIANCE", now + datetime.timedelta(days=1)))
>>> [one.kind for one in judged([Version("a.log", "2", None, 0, now, None), locked], now, wants_locks=True)]
['hidden']
"""

import datetime
import glob
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

from tallystick.errors import ReportError, reason
from tallystick.objects.address import Address
from tallystick.objects.s3 import client, explained

__all__ = ["Archived", "Finding", "Lock", "Version", "check", "judged"]

_REQUESTS = 16  # at a time

FAILED, INCOMPLETE, NOTE = "failed", "incomplete", "note"


@dataclass(frozen=True, slots=True)
class Lock:
    """A lock of a version.

    Args:
        mode: `COMPLIANCE`, which nobody can break, or `GOVERNANCE`, which some users can.
        until: When it ends.
    """

    mode: str
    until: datetime.datetime


@dataclass(frozen=True, slots=True)
class Version:
    """A version of an object, or a delete marker.

    Args:
        name: Name of the object.
        version: Number of the version.
        etag: What tells its contents from others; None for a delete marker.
        size: Its bytes.
        changed: When it was made, by the store's clock.
        lock: Its lock; None for none.
    """

    name: str
    version: str
    etag: str | None
    size: int
    changed: datetime.datetime
    lock: Lock | None

    def is_locked(self, now: datetime.datetime) -> bool:
        """Is it locked at some time?"""
        return self.lock is not None and self.lock.until > now


@dataclass(frozen=True, slots=True)
class Finding:
    """What is not as it should be.

    Args:
        kind: A word for it: `hidden`, `unlocked`, `governance`, `unversioned` or `unreadable`.
        weight: `failed`, `incomplete` or `note`.
        name: Name of the object; empty where it is about the bucket.
        detail: What it means and what to do.
    """

    kind: str
    weight: str
    name: str
    detail: str


@dataclass(frozen=True, slots=True)
class Archived:
    """The result of a check.

    Args:
        objects: How many names there are.
        versions: How many versions of them, delete markers not counted.
        locked: How many of these are locked in compliance mode.
        findings: What is not as it should be, by name.
    """

    objects: int
    versions: int
    locked: int
    findings: tuple[Finding, ...]

    @property
    def verdict(self) -> str:
        """The worst weight; `ok` where that is a note at most."""
        weights = {finding.weight for finding in self.findings}
        return next((weight for weight in (FAILED, INCOMPLETE) if weight in weights), "ok")


def check(url: str) -> Archived:
    """Look at all versions of all objects whose names begin as a URL says.

    Args:
        url: `s3://BUCKET/PREFIX`.

    Raises:
        ReportError: It is no such URL, or the versions cannot be listed.
    """
    address = Address.of(url)
    prefix = address.name.rstrip("*")
    if address.scheme != "s3" or glob.has_magic(prefix):
        raise ReportError(f"{url} is no bucket of S3", hint="name one: s3://BUCKET/PREFIX")
    s3, now = client(address.bucket), datetime.datetime.now(datetime.UTC)
    try:
        versioned = s3.get_bucket_versioning(Bucket=address.bucket).get("Status") == "Enabled"
        listed = list(_listed(s3, address.bucket, prefix))
        bucket_locks = _has_locks(s3, address.bucket)
    except Exception as error:
        said = explained(error)
        raise ReportError(
            f"the versions in {url} cannot be listed: {reason(said)}", hint="give this user s3:ListBucketVersions"
        ) from error
    findings = [] if versioned else [_unversioned(address.bucket)]
    versions, unread = _with_locks(s3, address.bucket, listed)
    wants_locks = bucket_locks or any(one.is_locked(now) for one in versions)
    findings += [*unread, *judged(versions, now, wants_locks=wants_locks)]
    real = [one for one in versions if one.etag is not None]
    locked = sum(one.is_locked(now) and one.lock is not None and one.lock.mode == "COMPLIANCE" for one in real)
    return Archived(len({one.name for one in versions}), len(real), locked, tuple(findings))


def judged(versions: Iterable[Version], now: datetime.datetime, *, wants_locks: bool) -> Iterator[Finding]:
    """Give what is not as it should be.

    Args:
        versions: All versions, those of one object together, the newest first.
        now: The time.
        wants_locks: Each object should have a lock.
    """
    for name, group in groupby(versions, key=lambda one: one.name):
        newest, *older = group
        hidden = next((one for one in older if one.is_locked(now) and one.etag != newest.etag), None)
        if hidden is not None and hidden.lock is not None:
            by = "a delete marker" if newest.etag is None else f"a newer version, {newest.version}, with other bytes"
            yield Finding(
                "hidden",
                FAILED,
                name,
                f"{by}, made {newest.changed:%Y-%m-%d %H:%M:%S}Z, hides version {hidden.version}, which is locked "
                f"until {hidden.lock.until:%Y-%m-%d}; remove what hides it, and see who made that",
            )
        if newest.etag is None:
            continue
        if newest.lock is None and wants_locks:
            yield Finding(
                "unlocked", INCOMPLETE, name, "it has no lock: any user who may delete can remove it for good"
            )
        elif newest.lock is not None and newest.is_locked(now) and newest.lock.mode != "COMPLIANCE":
            yield Finding("governance", INCOMPLETE, name, "its lock is in governance mode, which some users can break")


def _unversioned(bucket: str) -> Finding:
    return Finding("unversioned", INCOMPLETE, "", f"the bucket {bucket} keeps no versions: what is replaced is lost")


def _listed(s3: Any, bucket: str, prefix: str) -> Iterator[Version]:
    """Give all versions and delete markers, those of one object together, the newest first."""
    found: list[tuple[Version, bool]] = []
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket, Prefix=prefix):
        for one in page.get("Versions", ()):
            made = Version(one["Key"], one["VersionId"], one["ETag"], one["Size"], one["LastModified"], None)
            found.append((made, one["IsLatest"]))
        for one in page.get("DeleteMarkers", ()):
            made = Version(one["Key"], one["VersionId"], None, 0, one["LastModified"], None)
            found.append((made, one["IsLatest"]))
    found.sort(key=lambda one: (one[0].name, not one[1], -one[0].changed.timestamp()))
    return (version for version, _ in found)


def _has_locks(s3: Any, bucket: str) -> bool:
    """Has a bucket Object Lock?"""
    try:
        held = s3.get_object_lock_configuration(Bucket=bucket)
    except Exception as error:
        code = getattr(error, "response", {}).get("Error", {}).get("Code")
        if code in ("ObjectLockConfigurationNotFoundError", "NoSuchObjectLockConfiguration"):
            return False
        raise
    return bool(held.get("ObjectLockConfiguration", {}).get("ObjectLockEnabled") == "Enabled")


def _with_locks(s3: Any, bucket: str, versions: Sequence[Version]) -> tuple[list[Version], list[Finding]]:
    """Return the versions with their locks, and what could not be looked at."""
    from concurrent.futures import ThreadPoolExecutor  # only here: other commands start faster without it

    def look(one: Version) -> Version | Finding:
        if one.etag is None:
            return one
        try:
            which = {} if one.version == "null" else {"VersionId": one.version}  # so called where none are kept
            head = s3.head_object(Bucket=bucket, Key=one.name, **which)
        except Exception as error:
            return Finding("unreadable", INCOMPLETE, one.name, f"version {one.version}: {reason(explained(error))}")
        mode, until = head.get("ObjectLockMode"), head.get("ObjectLockRetainUntilDate")
        return replace(one, lock=Lock(mode, until)) if mode and until else one

    with ThreadPoolExecutor(_REQUESTS) as pool:
        looked = list(pool.map(look, versions))
    return [one for one in looked if isinstance(one, Version)], [one for one in looked if isinstance(one, Finding)]
