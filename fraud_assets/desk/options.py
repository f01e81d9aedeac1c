"""Settings of the desk, and what its views work with."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass

from flask import g

from fraud_assets.cases.model import ReadAs
from fraud_assets.cases.readings import ReadingLog
from fraud_assets.cases.store import CaseStore
from fraud_assets.clock import Clock
from fraud_assets.desk.background import NO_WORK, BackgroundWork
from fraud_assets.desk.lake_view import LakeView


@dataclass(frozen=True)
class DeskOptions:
    """Settings of the desk.

    Attributes:
        url: address at which people open the desk; None for loopback alone.
        user_header: header in which a reverse proxy names the user; None for passwords.
        proxies: addresses of that proxy.
    """

    url: str | None = None
    user_header: str | None = None
    proxies: Sequence[ipaddress.IPv4Network | ipaddress.IPv6Network] = ()


@dataclass(frozen=True)
class Desk:
    """What the views work with."""

    store: CaseStore
    lake: LakeView
    clock: Clock
    options: DeskOptions
    readings: ReadingLog
    work: BackgroundWork = NO_WORK

    def note_reading(self, case_id: str, form: ReadAs) -> None:
        """Log that the person of this request reads a case."""
        self.readings.add(case_id, g.person.name, form, self.clock.now())
