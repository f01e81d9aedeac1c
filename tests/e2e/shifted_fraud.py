"""`fraud` at another time, and without some claims, as after a change of the code: for tests that start it as a process.

SHIFT is the number of seconds by which its clock is ahead of the system's; WITHOUT_CLAIMS names claims of `transactions`,
separated by blanks.
"""

from __future__ import annotations

import datetime as dt
import os

from fraud_assets.cli.main import main
from fraud_assets.clock import SYSTEM_CLOCK, Clock
from fraud_assets.schemas.sources import TRANSACTIONS


def _leave_out(names: set[str]) -> None:
    assert names <= {claim.name for claim in TRANSACTIONS.claims}
    kept = tuple(claim for claim in TRANSACTIONS.claims if claim.name not in names)
    # in place, since modules hold the table itself
    object.__setattr__(TRANSACTIONS, "claims", kept)


if __name__ == "__main__":
    _leave_out({*os.environ.pop("WITHOUT_CLAIMS", "").split()})
    shift = dt.timedelta(seconds=float(os.environ.pop("SHIFT")))
    main(obj=Clock(lambda: SYSTEM_CLOCK.now() + shift), prog_name="fraud")
