"""The generator draws what the allow-list lets through, and the embedded warehouse computes all of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from hive_io import EmbeddedWarehouse
from tests.hiveql.generator import Difference, Expression, Judge, compare, draw, fill


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> EmbeddedWarehouse:
    warehouse = EmbeddedWarehouse(Path(tmp_path_factory.mktemp("odd")))
    fill(warehouse)
    return warehouse


def test_a_seed_draws_the_same_expressions() -> None:
    one, other = ([(shape, list(map(str, drawn))) for shape, drawn in draw(7, 100)] for _ in range(2))
    assert one == other
    assert one != [(shape, list(map(str, drawn))) for shape, drawn in draw(8, 100)]


def test_what_is_drawn_is_accepted_and_computed(odd: EmbeddedWarehouse) -> None:
    found, judge = compare(odd, odd, seed=1, count=300)
    assert not found
    # literals that are no times are drawn, too
    assert len(judge.refused) < 15


def test_a_difference_is_found_and_shrunk(odd: EmbeddedWarehouse, tmp_path: Path) -> None:
    other = EmbeddedWarehouse(tmp_path)
    import pyarrow.compute as pc

    from tests.hiveql.generator import DAY, ODD, Span, _rows, dt

    rows = _rows()
    changed = rows.set_column(rows.schema.get_field_index("k"), "k", pc.add(rows.column("k"), 1).cast("int32"))
    other.replace(ODD, changed, Span.days(dt.date.fromisoformat(DAY), dt.date.fromisoformat(DAY)))
    judge = Judge(odd, other)
    large = Expression(
        "INT", ["coalesce(", Expression("INT", ["(", Expression("INT", ["k"]), " + ", Expression("INT", ["n"]), ")"]), ", 3)"]
    )
    ((expression, difference),) = judge.differences("expression", [large])
    assert isinstance(difference, Difference)
    assert str(judge.shrink("expression", expression)) == "k"
