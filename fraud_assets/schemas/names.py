"""The database and the type of money, shared by all tables."""

from __future__ import annotations

DATABASE = "fintech"

MONEY = "DECIMAL(18,2)"
