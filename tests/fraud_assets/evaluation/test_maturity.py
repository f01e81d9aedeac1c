"""Label maturity: what delays say of the frauds that are still to become known."""

from __future__ import annotations

import datetime as dt
import random
from collections import Counter

import pytest

from fraud_assets.evaluation.maturity import LEARNED_FROM, MIN_LABELS, learn

AS_OF = dt.date(2026, 3, 31)


def before(days: int) -> dt.date:
    return AS_OF - dt.timedelta(days=days)


def test_a_constant_delay_is_a_step() -> None:
    """Reported 7 days after it happened: older days are known, later ones are not at all."""
    maturity = learn({(before(age), 7): 3 for age in range(7, 40)}, AS_OF)
    assert [maturity.of(before(age)) for age in (0, 6, 7, 8, 100)] == [0, 0, 1, 1, 1]
    assert [maturity.is_mature(before(age)) for age in (6, 7)] == [False, True]
    assert maturity.of(before(-1)) == 0


def test_short_delays_of_recent_days_do_not_deceive() -> None:
    """Half of the frauds become known at once and half after 10 days; recent days show the first half only."""
    delays = {(before(age), 0): 5 for age in range(20)} | {(before(age), 10): 5 for age in range(10, 20)}
    maturity = learn(delays, AS_OF)
    # counted without correction, 100 of 150 would seem to be known at once
    assert [maturity.of(before(age)) for age in (0, 9, 10)] == pytest.approx([0.5, 0.5, 1.0])


def test_three_delays_by_hand() -> None:
    delays = {(before(2), 2): 1, (before(2), 1): 2, (before(2), 0): 3}
    delays |= {(before(1), 1): 4, (before(1), 0): 6, (before(0), 0): 10}
    maturity = learn(delays, AS_OF)
    # within 2 days: 1 of 6 takes exactly 2; within 1 day: 2 + 4 of 15 take exactly 1
    assert maturity.shares == pytest.approx((5 / 6 * 9 / 15, 5 / 6, 1.0))


@pytest.mark.parametrize("seed", range(3))
def test_the_shares_of_a_known_distribution_are_found(seed: int) -> None:
    draw = random.Random(seed)
    truth = [0.1, 0.3, 0.45, 0.6, 0.75, 0.9, 1.0]
    seen: Counter[tuple[dt.date, int]] = Counter()
    for age in range(60):
        for _ in range(60):
            roll = draw.random()
            delay = next(days for days, share in enumerate(truth) if share >= roll)
            if delay <= age:
                seen[before(age), delay] += 1
    assert learn(seen, AS_OF).shares == pytest.approx(truth, abs=0.04)


def test_labels_that_are_known_later_change_nothing() -> None:
    known = {(before(age), age % 4): 2 for age in range(4, 30)}
    later = {(before(1), 2): 50, (before(-3), 0): 50, (before(5), 30): 50}
    assert learn({**known, **later}, AS_OF) == learn(known, AS_OF)


def test_a_few_labels_say_nothing() -> None:
    few = learn({(before(9), 3): MIN_LABELS - 1}, AS_OF)
    assert few.of(before(9)) is None and not few.is_mature(before(9))
    assert learn({(before(9), 3): MIN_LABELS}, AS_OF).of(before(9)) == 1
    old = (LEARNED_FROM.days + 1, 3)
    assert learn({(before(old[0]), old[1]): 1_000}, AS_OF).of(before(9)) is None


def test_a_delay_that_no_day_is_old_enough_to_show_changes_nothing() -> None:
    maturity = learn({(before(0), 0): 30}, AS_OF)
    assert maturity.shares == (1.0,)
