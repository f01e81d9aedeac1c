"""The page of rules' quality, over HTTP."""

from __future__ import annotations

from tests.fraud_assets.desk.site import Site
from tests.fraud_assets.desk.test_case_pages import text_of


def test_the_latest_quality_is_shown_all_alerts_first(site: Site) -> None:
    said = text_of(site.person("vera").get("/rules").text)
    assert "The 28 days up to 1 Mar 2026" in said
    assert said.index("all alerts active 3 33.3 %") < said.index("high value active 3 33.3 %")
    assert "1 of 2" in said
