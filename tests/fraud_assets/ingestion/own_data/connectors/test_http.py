"""An API as a source: what is sent, what a wrong answer says, and that a secret is in no message."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from flask import Flask, Response, jsonify, request

from fraud_assets.cli.main import main
from fraud_assets.errors import SourceError
from fraud_assets.ingestion.http_client import Limits
from fraud_assets.ingestion.load import load
from fraud_assets.ingestion.own_data.connectors.base import Context
from fraud_assets.ingestion.own_data.connectors.http import HttpConnector, HttpLayout, Paging, TimeParams
from fraud_assets.ingestion.own_data.mapped_source import MappedSource
from fraud_assets.ingestion.own_data.source_file import SourceFileError, read_source_file
from fraud_assets.schemas.sources import CUSTOMERS, TRANSACTIONS
from hive_io import EmbeddedWarehouse, Span
from mock_sources.serving import serving

DAY = dt.date(2026, 1, 5)
SECRET = "s3cret-Tök3n".replace("ö", "o")
ROWS = [
    {"id": n, "at": f"2026-01-05T10:00:0{n}Z", "amount": 10.1 + n, "m": "m1", "c": {"id": "c1"}, "big": 2**63 + n}
    for n in range(3)
]


@contextmanager
def api(answer: Callable[[], Any], context: Context | None = None, **layout: Any) -> Iterator[HttpConnector]:
    app = Flask(__name__)
    app.add_url_rule("/v1/payments", view_func=answer)
    variables = {"PAY_TOKEN": SECRET, "PAY_KEY": "k3y", "BROKEN": "two\nlines"}
    context = context or Context(variables.get, attempts=1)
    with serving(app) as url:
        connector = HttpLayout(f"{url}/v1/payments", **layout).connector(context)
        assert isinstance(connector, HttpConnector)
        try:
            yield connector
        finally:
            connector.close()


def refused(answer: Callable[[], Any], **layout: Any) -> str:
    with api(answer, **layout) as connector, pytest.raises(SourceError) as error:
        [*connector.pages(Span.days(DAY, DAY))]
    assert SECRET not in str(error.value) and "k3y" not in str(error.value)
    return str(error.value)


def test_headers_token_parameters_and_window_are_sent() -> None:
    seen: list[dict[str, Any]] = []

    def answer() -> Response:
        seen.append({"args": dict(request.args), "headers": dict(request.headers)})
        return jsonify(ROWS)

    window = TimeParams("from", "to", "epoch_ms")
    headers = {"X-Key": "key ${PAY_KEY}"}
    with api(answer, token="PAY_TOKEN", headers=headers, params={"state": "done & paid"}, window=window) as connector:
        pages = [*connector.pages(Span.days(DAY, DAY))]
    assert seen[0]["args"] == {"state": "done & paid", "from": "1767571200000", "to": "1767657600000"}
    assert seen[0]["headers"]["Authorization"] == f"Bearer {SECRET}" and seen[0]["headers"]["X-Key"] == "key k3y"
    rows = [row for page in pages for row in page.rows.to_pylist()]
    # numbers as they were written, objects as JSON
    assert [(row["id"], row["amount"], row["c"], row["big"]) for row in rows][1] == (
        "1",
        "11.1",
        '{"id": "c1"}',
        str(2**63 + 1),
    )
    assert [(row["_file"], row["_row"]) for row in rows] == [("/v1/payments", n) for n in (1, 2, 3)]


def test_basic_authentication() -> None:
    def answer() -> Any:
        sent = request.authorization
        return jsonify(ROWS) if sent and (sent.username, sent.password) == ("reader", SECRET) else ("no", 401)

    with api(answer, user="reader", password="PAY_TOKEN") as connector:
        assert sum(page.rows.num_rows for page in connector.pages()) == 3


@pytest.mark.parametrize("status", [401, 403])
def test_an_expired_token_is_named_and_not_shown(status: int) -> None:
    message = refused(lambda: (f"token {SECRET} has expired", status), token="PAY_TOKEN")
    assert str(status) in message and "PAY_TOKEN" in message and "renew" in message


def test_a_token_that_is_not_set_is_named() -> None:
    assert "UNSET_TOKEN" in refused(lambda: jsonify(ROWS), token="UNSET_TOKEN")
    assert "X-Key" in refused(lambda: jsonify(ROWS), headers={"X-Key": "${BROKEN}"})


@pytest.mark.parametrize(
    ("answer", "layout", "parts"),
    [
        (lambda: jsonify({"items": ROWS}), {}, ["'items'", "records"]),
        (lambda: jsonify({"items": {}}), {"records": "items"}, ["an object", "'items'", "records"]),
        (lambda: ("<html>", 200), {}, ["not JSON", "url"]),
        (lambda: ("gone", 404), {}, ["404", "url"]),
        (lambda: ("", 302, {"Location": "/login"}), {}, ["302"]),
        (lambda: jsonify({"d": ROWS, "n": "x"}), {"records": "d", "paging": Paging("cursor", "n", "c")}, ["twice"]),
        (lambda: jsonify({"d": ROWS, "n": "//elsewhere/x"}), {"records": "d", "paging": Paging(next="n")}, ["another server"]),
    ],
)
def test_a_wrong_answer_says_what_to_change(answer: Callable[[], Any], layout: dict[str, Any], parts: list[str]) -> None:
    message = refused(answer, **layout)
    assert all(part in message for part in parts), message


def test_an_answer_has_limits() -> None:
    context = Context(limits=Limits(pages=3), attempts=1)
    paging = Paging("page", param="page")
    numbered = [{"id": n} for n in range(100)]
    with (
        api(lambda: jsonify(numbered[int(request.args["page"]) :][:1]), context, paging=paging) as connector,
        pytest.raises(SourceError, match="3 pages"),
    ):
        [*connector.pages()]


def test_a_busy_server_is_asked_again() -> None:
    answers = iter([("", 503), ("", 429), jsonify])

    def answer() -> Any:
        made = next(answers)
        return made(ROWS) if callable(made) else made

    with api(answer, Context(attempts=3)) as connector:
        assert sum(page.rows.num_rows for page in connector.pages()) == 3


SOURCE = """\
tables:
  transactions:
    http:
      url: {url}/v1/payments
      records: items
      token: PAY_TOKEN
      paging: {{by: page, param: page, size_param: per_page, size: 2}}
      window: {{since: from, until: to}}
    columns: {{transaction_id: id, event_time: at, amount: amount, merchant_id: m, customer_id: c.id}}
  customers:
    http: {{url: {url}/v1/customers, as_of: {{param: day, format: "%Y-%m-%d"}}}}
    columns: {{customer_id: id, opened_at: since}}
"""


def test_a_source_file_with_an_api_checks_and_loads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = Flask(__name__)

    @app.get("/v1/payments")
    def payments() -> Any:
        if request.headers["Authorization"] != f"Bearer {SECRET}":
            return "", 401
        page, size = int(request.args["page"]), int(request.args["per_page"])
        return {"items": ROWS[(page - 1) * size : page * size]}

    @app.get("/v1/customers")
    def customers() -> Response:
        return jsonify([{"id": f"c{request.args['day'][-1]}", "since": "2020-01-01"}])

    file = tmp_path / "source.yaml"
    words = ["sources", "check", str(file)]
    with serving(app) as url:
        file.write_text(SOURCE.format(url=url))
        monkeypatch.setenv("PAY_TOKEN", "expired")
        expired = CliRunner().invoke(main, words)
        assert (expired.exit_code, "401" in expired.output, "PAY_TOKEN" in expired.output) == (1, True, True)
        monkeypatch.setenv("PAY_TOKEN", SECRET)
        good = CliRunner().invoke(main, words, catch_exceptions=False)
        assert (good.exit_code, SECRET in good.output) == (0, False), good.output
        assert "Not mapped" in good.output and "big" in good.output and "--from 2026-01-05 --to 2026-01-06" in good.output
        lake = EmbeddedWarehouse(tmp_path / "lake")
        span = Span.days(DAY, DAY + dt.timedelta(days=1))
        with MappedSource.of(file, context=Context({"PAY_TOKEN": SECRET}.get)) as source:
            load(TRANSACTIONS, source, lake, span, 0.1)
            load(CUSTOMERS, source, lake, span, 0.1)
    assert sorted(lake.read("fintech.transactions").column("transaction_id").to_pylist()) == ["0", "1", "2"]
    found = lake.read("fintech.customers", ["customer_id", "ds"]).to_pylist()
    assert sorted((row["customer_id"], row["ds"]) for row in found) == [("c5", "2026-01-05"), ("c6", "2026-01-06")]


@pytest.mark.parametrize(
    ("http", "part"),
    [
        ("url: ftp://x", "http://"),
        (f"url: 'https://me:{SECRET}@x'", "basic"),
        (f"url: https://x, token: '{SECRET}'", "environment variable"),
        ("url: https://x, token: FRAUD_TOKEN", "FRAUD_"),
        ("url: https://x, params: {key: '${PAY_TOKEN}'}", "headers"),
        ("url: https://x, token: A, basic: {user: u, password: B}", "one of"),
        ("url: https://x, paging: {by: page}", "param"),
        ("url: https://x, paging: {by: cursor, param: c}", "next"),
        ("url: https://x, paging: {by: pages}", "link"),
        ("url: https://x, window: {since: from, format: epoch}", "epoch_s"),
        ("url: https://x, record: a", "'records'"),
    ],
)
def test_mistakes_of_the_source_file_show_no_secret(tmp_path: Path, http: str, part: str) -> None:
    columns = "{transaction_id: id, event_time: at, amount: amount, merchant_id: m, customer_id: c}"
    (tmp_path / "source.yaml").write_text(f"tables:\n  transactions:\n    http: {{{http}}}\n    columns: {columns}\n")
    with pytest.raises(SourceFileError) as error:
        read_source_file(tmp_path / "source.yaml")
    assert part in str(error.value) and SECRET not in str(error.value)
    assert "source.yaml:3: " in str(error.value)
