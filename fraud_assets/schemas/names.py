"""Names that every table shares."""

from __future__ import annotations

DATABASE = "fintech"


MONEY = "DECIMAL(18,2)"
