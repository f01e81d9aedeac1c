"""Any HTTP API that answers JSON, as a source: records at a path of the answer, pages by link, cursor, number or offset."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import httpx

from fraud_assets.errors import SourceError
from fraud_assets.ingestion.batch import RawRow, Row
from fraud_assets.ingestion.http_client import Advice, JsonClient, Page, with_params
from fraud_assets.ingestion.own_data.connectors.base import VARIABLE, Connector, Context, RawPage, page_of_records
from fraud_assets.ingestion.own_data.time_formats import written
from hive_io import Span


@dataclass(frozen=True)
class TimeParams:
    """How times are written into a request.

    Attributes:
        since, until: parameters of the first instant and of the one after the last; None if the API has no such parameter.
        format: as for times of columns, but a single pattern.
    """

    since: str | None = None
    until: str | None = None
    format: str = "iso"

    def of(self, start: dt.datetime, end: dt.datetime | None = None) -> dict[str, str]:
        """The parameters for a span, or for one instant."""
        found = {self.since: start, self.until: end}
        return {name: written(moment, self.format) for name, moment in found.items() if name and moment}


@dataclass(frozen=True)
class Paging:
    """How the next page is asked for.

    Attributes:
        by: `link`: the answer names the next page, in the Link header or at `next`. `cursor`: the value at `next` is sent as
            `param`. `page`, `offset`: `param` counts pages or rows, until a page has no rows.
        next: path in the answer.
        param: name of the parameter.
        first: number of the first page.
        size_param, size: parameter and value of the rows per page.
    """

    by: Literal["link", "cursor", "page", "offset"] = "link"
    next: str | None = None
    param: str | None = None
    first: int = 1
    size_param: str | None = None
    size: int = 1000


@dataclass(frozen=True)
class HttpLayout:
    """Where the rows of a table are served.

    Attributes:
        url: without secrets.
        records: path of the array of rows in the answer; None if the answer is the array.
        params, headers: sent with each request; `${NAME}` in a header is an environment variable.
        token: environment variable of a bearer token.
        user, password: for basic authentication; the password is an environment variable.
        window: parameters of the span; None to read everything in each run.
        as_of: for snapshots, the parameter of the instant.
        after, after_field: for `fraud watch`: the parameter that asks for later rows than one, and the field of its value.
        valid_from: for snapshots without `as_of`: first day for which the rows hold.
    """

    url: str
    records: str | None = None
    params: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    token: str | None = None
    user: str | None = None
    password: str | None = None
    paging: Paging = field(default_factory=Paging)
    window: TimeParams | None = None
    as_of: TimeParams | None = None
    after: str | None = None
    after_field: str | None = None
    valid_from: dt.date | None = None

    spill = 0
    is_local = False

    @property
    def by_day(self) -> bool:
        """True if each day has a snapshot of its own."""
        return self.as_of is not None

    @property
    def missing_for_watch(self) -> str:
        """What to name for `fraud watch`."""
        if self.after and self.after_field:
            return ""
        return (
            f"name for {self.url}, under `arrivals`, the parameter that asks for later rows and the field of its value, such "
            "as `arrivals: {param: after_id, field: id}`"
        )

    @property
    def version(self) -> str:
        """Constant: the source does not say whether its rows have changed."""
        return self.url

    def connector(self, context: Context) -> Connector:
        """A connector that reads the rows."""
        return HttpConnector(self, context)


class HttpConnector:
    """Reads the rows of one table from an API.

    Args:
        context: limits, and the environment variables that the layout names, which are read with the first request.
    """

    looks_back = True

    def __init__(self, layout: HttpLayout, context: Context) -> None:
        self.layout = layout
        self._context = context

    @cached_property
    def _client(self) -> JsonClient:
        layout, secret = self.layout, self._context.secret
        headers = {
            name: VARIABLE.sub(lambda match: secret(match[1]), value) for name, value in {**_HEADERS, **layout.headers}.items()
        }
        if layout.token:
            headers["Authorization"] = f"Bearer {secret(layout.token)}"
        for name, value in headers.items():
            if not (value.isascii() and value.isprintable()):
                # the value may be a secret
                raise SourceError(
                    f"{layout.url}: the header {name} has characters that HTTP does not allow, such as a line break"
                )
        auth = (layout.user, secret(layout.password)) if layout.user and layout.password else None
        return JsonClient(
            _advice(layout), auth=auth, headers=headers, limits=self._context.limits, attempts=self._context.attempts
        )

    def pages(self, span: Span | None = None) -> Iterator[RawPage]:
        window = self.layout.window
        params = window.of(span.start, span.end) if window and span else {}
        yield from self._pages(params)

    def arrivals(self, cursor: str | None, since: dt.datetime | None = None) -> Iterator[tuple[RawPage, str]]:
        after, name = self.layout.after, self.layout.after_field
        if after is None or name is None:
            raise SourceError(self.layout.missing_for_watch)
        for page in self._pages({} if cursor is None else {after: cursor}):
            last = page.rows.column(name)[-1].as_py() if name in page.rows.column_names else None
            if not last:
                raise SourceError(f"{self.layout.url}: the last row of a page has no {name}, so later rows cannot be asked for")
            yield page, last

    def snapshot(self, day: dt.date) -> Iterator[RawPage]:
        if self.layout.as_of is not None:
            yield from self._pages(self.layout.as_of.of(dt.datetime.combine(day, dt.time.min, dt.UTC)))
        elif self.layout.valid_from is None or day >= self.layout.valid_from:
            yield from self._pages({})

    def sample(self, rows: int, today: dt.date) -> Iterator[tuple[RawPage, bool]]:
        for page in self.snapshot(today) if self.layout.as_of else self._pages({}):
            if rows <= 0:
                yield RawPage(page.rows.slice(0, 0), page.day, page.optional), False
                return
            yield RawPage(page.rows.slice(0, rows), page.day, page.optional), page.rows.num_rows <= rows
            rows -= page.rows.num_rows

    def places(self) -> list[str]:
        return [self.layout.url]

    def abort(self) -> None:
        self._client.abort()

    def close(self) -> None:
        if "_client" in vars(self):
            self._client.close()

    # --- pages --------------------------------------------------------------------------------------------------------

    def _pages(self, params: Mapping[str, str]) -> Iterator[RawPage]:
        paging = self.layout.paging
        first = dict(params)
        if paging.size_param:
            first[paging.size_param] = str(paging.size)
        if paging.by == "page" and paging.param:
            first[paging.param] = str(paging.first)
        if paging.by == "offset" and paging.param:
            first[paging.param] = "0"
        url = with_params(self._client.address(self.layout.url), {**self.layout.params, **first})
        count, place = 0, url.path or "/"
        for page in self._client.pages(url, self._rows, self._following):
            if page.new:
                numbers = range(count + 1, count + 1 + len(page.new))
                lines = [None if isinstance(row, dict) else str(row) for row in page.new]
                records = [None if isinstance(row, RawRow) else row for row in page.new]
                yield page_of_records(records, place, list(numbers), lines)
                count += len(page.new)

    def _rows(self, content: Any, path: str) -> list[Row]:
        found = _at(content, self.layout.records)
        if not isinstance(found, list):
            where = f"at {self.layout.records!r}" if self.layout.records else "as its whole answer"
            keys = f"; it has {', '.join(map(repr, content))}" if isinstance(content, dict) else ""
            raise SourceError(f"{path}: expected an array of rows {where}, found {_kind(found)}{keys}. Check `records`")
        return found

    def _following(self, page: Page) -> str | httpx.URL | None:
        paging = self.layout.paging
        if paging.by == "link":
            following = page.next_link if paging.next is None else _at(page.content, paging.next)
            return str(following) if following else None
        name = str(paging.param)
        if paging.by == "cursor":
            cursor = _at(page.content, str(paging.next))
            return None if cursor in (None, "", False) else with_params(page.url, {name: str(cursor)})
        if not page.rows:
            return None
        now = int(page.url.params[name])
        return with_params(page.url, {name: str(now + (1 if paging.by == "page" else len(page.rows)))})


_HEADERS = {"Accept": "application/json"}


def _advice(layout: HttpLayout) -> Advice:
    named = [layout.token, layout.password, *(match for value in layout.headers.values() for match in VARIABLE.findall(value))]
    secrets = " or ".join(dict.fromkeys(name for name in named if name))
    renew = f"What {secrets} holds is wrong or has expired; renew it" if secrets else "Name a `token` in the source file"
    return Advice(
        unreachable="Check `url` in the source file, and that this machine reaches it",
        check="check `url` in the source file",
        url="Check `url` in the source file",
        refused={
            401: renew,
            403: f"{renew}, or ask for the right to read it",
            404: "Check `url` in the source file",
            0: "Check `url`, `params` and `paging` in the source file",
        },
        rows="a page",
    )


def _at(content: Any, path: str | None) -> Any:
    """The value at a path of keys, joined by points; None if the path ends early."""
    for key in path.split(".") if path else ():
        if isinstance(content, list) and key.isdigit() and int(key) < len(content):
            content = content[int(key)]
        else:
            content = content.get(key) if isinstance(content, dict) else None
    return content


def _kind(value: Any) -> str:
    return {dict: "an object", list: "an array", type(None): "nothing", str: "a text"}.get(type(value), "a value")
