"""A page for each rule, and an index of them, made from what the rule files state; what a rules file says is not in them."""

from __future__ import annotations

from pathlib import Path

from fraud_assets.detection import rule_facts
from fraud_assets.detection.rule import Rule
from fraud_assets.detection.rule_book import RuleBook

INDEX = "README.md"


_END = f"[all rules]({INDEX})\n"


def pages(book: RuleBook) -> dict[str, str]:
    """The text of each file, by name."""
    return {INDEX: _index(book), **{f"{rule.name}.md": _page(rule) for rule in book.rules.values()}}


def _index(book: RuleBook) -> str:
    rows = [
        f"| [`{rule.name}`]({rule.name}.md) | {_cell(rule.file.meta.description)} | {_cell(rule.file.meta.blind_spot)} |"
        for rule in book.rules.values()
    ]
    head = [
        "# Rules",
        "",
        "Made by `fraud rules docs` from the rule files.",
        "",
        "| rule | finds | cannot see |",
        "| --- | --- | --- |",
    ]
    return "\n".join([*head, *rows]) + "\n"


def _page(rule: Rule) -> str:
    meta = rule.file.meta
    lines = [
        f"# {meta.title}",
        "",
        f"`{rule.name}` · {rule.severity} · weight {rule.weight} · {rule.status}",
        "",
        meta.description,
        "",
        f"**Cannot see:** {meta.blind_spot}",
        "",
        f"**Says:** `{meta.reason}`",
        "",
        f"**Source:** {meta.source}",
        "",
        "| reads | rows |",
        "| --- | --- |",
        *(f"| `{table}` | {rows} |" for table, rows in rule_facts.reads(rule).items()),
    ]
    if params := rule_facts.params(rule):
        lines += ["", "| param | default | bounds | meaning |", "| --- | --- | --- | --- |"]
        lines += [f"| `{p.name}` | {_cell(p.default)} | {p.bounds} | {_cell(p.description)} |" for p in params]
    return "\n".join([*lines, "", f"[The file](../../fraud_assets/rules/{rule.name}.sql) · {_END}"])


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def write_pages(book: RuleBook, folder: Path) -> list[str]:
    """Write the pages that differ, and delete those of rules that are gone; gives their names."""
    wanted = pages(book)
    differing = lagging(book, folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name in differing:
        if name in wanted:
            (folder / name).write_text(wanted[name], encoding="utf-8")
        else:
            (folder / name).unlink()
    return differing


def lagging(book: RuleBook, folder: Path) -> list[str]:
    """The names of pages that are missing, other than the rule files say, or of rules that are gone."""
    wanted = pages(book)
    have = {path.name: path.read_text(encoding="utf-8") for path in folder.glob("*.md")}
    # other people's pages may be beside them
    have = {name: text for name, text in have.items() if name in wanted or text.endswith(_END)}
    return sorted(name for name in wanted.keys() | have.keys() if wanted.get(name) != have.get(name))
