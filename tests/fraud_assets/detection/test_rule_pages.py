"""The pages of rules: their contents, and that those in docs/rules are up to date."""

from __future__ import annotations

import re
from pathlib import Path

from fraud_assets.detection.rule_book import read_rule_book
from fraud_assets.detection.rule_pages import lagging, pages
from tests.fraud_assets.cli.test_main import fraud, refused

ROOT = Path(__file__).parents[3]
COMMITTED = ROOT / "docs" / "rules"


def test_the_pages_in_docs_are_up_to_date() -> None:
    """If this fails, run `fraud rules docs --out docs/rules`."""
    assert lagging(read_rule_book(), COMMITTED) == []


def test_the_readme_has_a_row_for_each_rule() -> None:
    section = (ROOT / "README.md").read_text(encoding="utf-8").partition("\n## Rules\n")[2].partition("\n## ")[0]
    assert sorted(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)) == sorted(read_rule_book().rules)


def test_a_page_shows_the_front_matter() -> None:
    rule = read_rule_book().rules["velocity"]
    page = pages(read_rule_book())["velocity.md"]
    meta = rule.file.meta
    assert page.startswith(f"# {meta.title}\n\n`velocity` · low · weight 0.2 · active\n\n{meta.description}\n")
    for label, text in (("Blind spot", meta.blind_spot), ("Reason", f"`{meta.reason}`"), ("Source", meta.source)):
        assert f"**{label}:** {text}\n" in page
    [reads] = [line for line in page.splitlines() if line.startswith("| `transactions` |")]
    assert "day" in reads and "same customer" in reads and "24 hours" in reads
    for name, param in meta.params.items():
        assert f"| `{name}` | {param.default} | {param.min} to {param.max} | {param.description} |" in page


def test_pages_are_written_and_outdated_ones_are_found_and_replaced(tmp_path: Path) -> None:
    folder = tmp_path / "rules"
    count = len(read_rule_book().rules) + 1
    assert fraud("rules", "docs", "--out", str(folder)).output == f"{count} of {count} pages written to {folder}\n"
    assert fraud("rules", "docs", "--out", str(folder), "--check").output.startswith(f"{count} pages in ")
    (folder / "velocity.md").write_text("Nothing.\n", encoding="utf-8")
    (folder / "gone.md").write_text("A removed rule. [all rules](README.md)\n", encoding="utf-8")
    (folder / "other.md").write_text("Not generated.\n", encoding="utf-8")
    said = refused(fraud("rules", "docs", "--out", str(folder), "--check"))
    assert ": gone.md, velocity.md." in said and f"fraud rules docs --out {folder}" in said
    assert (folder / "gone.md").exists()
    assert fraud("rules", "docs", "--out", str(folder)).output.startswith("2 of ")
    assert lagging(read_rule_book(), folder) == []
    assert (folder / "other.md").exists() and not (folder / "gone.md").exists()
