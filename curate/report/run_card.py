"""The data set card: `README.md` of a build folder, with the front matter that the Hub and `datasets` read."""

from __future__ import annotations

import re
from typing import Final

import polars as pl

from curate.report.card_metadata import front_matter, written_splits
from curate.report.charts.card_files import FOLDER, card_files
from curate.report.contamination import LINES, count_staying, evals, findings, unsearched_line, within_line
from curate.report.costs import harm_line
from curate.report.finding_tables import finding_tables, table_line
from curate.report.formatting import counted, percent, settings
from curate.result.build import Build
from curate.text.unseen import coded

SEARCHED: Final = {"eval": pl.String, "items": pl.Int64, "matchable": pl.Int64, "generic": pl.Int64}
"""The columns of the table of eval items."""

PICTURES: Final = {
    "funnel": "What is left of each source after each step",
    "composition": "What each source brings in rows, tokens and trained tokens",
}
"""The charts of the card, in words."""

MARKUP: Final = re.compile(r"[\\`*_\[\]<>|~&#]")
INTRAWORD: Final = re.compile(r"(?<=\w)_(?=\w)")


def card(build: Build) -> str:
    """Return the card of `build` as Markdown with YAML front matter: a pure function of the files in its folder.

    `datasets.load_dataset(folder)` finds the splits through it, and ignores ledger and dropped rows; so does the Hub.
    """
    parts = [
        front_matter(build),
        _opening(build),
        _load(build),
        *_tables(build),
        *_overlap(build),
        *(_contamination(build, label) for label in build.steps_with("contamination")),
        *_finding_tables(build),
        *_costs(build),
        _steps(build),
        _sources(build),
        _rebuild(build),
    ]
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def cell(text: str) -> str:
    r"""Escape text for a cell of a Markdown table: no markup, no line breaks, no unseen characters.

    >>> cell("a|b" + chr(10) + "<b> exact_dedup")
    'a\\|b \\<b\\> exact_dedup'
    """
    flat = " ".join(coded(text).split())
    inside = {found.start() for found in INTRAWORD.finditer(flat)}
    return MARKUP.sub(lambda found: found[0] if found.start() in inside else f"\\{found[0]}", flat)


def code(text: str) -> str:
    """Put text into a code span with a fence that it does not contain.

    >>> code("a`b")
    '`` a`b ``'
    """
    flat = " ".join(coded(text).split())
    longest = max((len(run) for run in re.findall("`+", flat)), default=0)
    fence = "`" * (longest + 1)
    return f"{fence} {flat} {fence}" if longest else f"`{flat}`"


def _opening(build: Build) -> str:
    counts = ", ".join(f"{split['rows']:,} in {name}" for name, split in build.manifest["splits"].items())
    total = build.funnel.row(-1, named=True)
    sources = counted(len(build.sources), "source")
    kept = f"of which {total['kept']:,} were kept"
    lines = "in the build folder, `ledger/` has one line for each row read"
    if build.paired:
        kept = f"of which {total['paired']:,} gave {total['pairs']:,} pairs; {total['kept']:,} rows were kept"
        lines += ", `pairs/` one for each pair"
    return (
        f"# {cell(build.name)}\n\n"
        f"Rows of kind *{build.kind}*: {counts}. Made by `curate` {build.manifest['versions']['curate']} from "
        f"{total['read']:,} rows of {sources}, {kept}. "
        f"`report.html` shows what was dropped and why; {lines}."
    )


def _load(build: Build) -> str:
    first = written_splits(build)[0]
    columns = ", ".join(f"`{name}`" for name in build.kept().collect_schema().names())
    return f"""## Load

```python
from datasets import load_dataset

rows = load_dataset("DATA_SET", split="{first}")  # this folder or, on the Hub, OWNER/NAME
```

```python
import polars as pl

rows = pl.scan_parquet("DATA_SET/data/{first}-*.parquet")  # on the Hub, hf://datasets/OWNER/NAME
```

Columns: {columns}."""


def _tables(build: Build) -> list[str]:
    estimated = build.manifest["tokens"] == "estimated"
    note = " No tokenizer was named, so tokens are estimated." if estimated else ""
    behind = " After the Pairing, counts are of pairs, and add up to those." if build.paired else ""
    brought = build.composition.with_columns(percent("share"), percent("token_share"))
    return [
        f"## Composition\n\nAsked and delivered are in the unit of the plan.{note}\n\n"
        + _picture(build, "composition")
        + table(brought),
        f"## Funnel\n\nThe fates of the rows of a source add up to those read.{behind} *rows* counts copies.\n\n"
        + _picture(build, "funnel")
        + "\n\n".join([table(build.funnel), *(f"Note: {cell(note)}." for note in build.notes)]),
        *_published(build),
        *_languages(build),
    ]


def _picture(build: Build, name: str) -> str:
    """Return a chart of the card, if the build has it."""
    found = f"{FOLDER}/{name}.svg"
    return f"![{PICTURES[name]}]({found})\n\n" if found in card_files(build) else ""


def _published(build: Build) -> list[str]:
    """Return a section on what was published of the mixture, if anything was."""
    if not build.manifest.get("published"):
        return []
    return [f"## Against what was published\n\n{table(build.reproduction())}"]


def _languages(build: Build) -> list[str]:
    """Return a section on languages if a step detects them."""
    if not build.tells_languages:
        return []
    shown = build.languages.with_columns(percent("read_share"), percent("kept_share"))
    return [f"## Languages\n\nRows of each source, read and kept; *und* is too short to identify.\n\n{table(shown)}"]


def _overlap(build: Build) -> list[str]:
    """Return a section for each dedup step that dropped rows: which source repeats which, the most rows first."""
    text = "Dropped rows by source, and the source of the rows that are kept in their place. Share: of the rows read."
    parts = []
    for label in build.steps_with("duplicates"):
        found = build.overlap(label).sort(["rows", "source", "kept_source"], descending=[True, False, False])
        lines = table(found.head(LINES).with_columns(percent("share")))
        parts += [f"## Duplicates: {cell(label)}\n\n{text}\n\n{lines}"] if found.height else []
    return parts


def _contamination(build: Build, label: str) -> str:
    """Return the section of a decontaminate step: the eval items in each source."""
    found = findings(build, label)
    cover = evals(build, label)
    head = pl.DataFrame([one[:4] for one in cover], schema=SEARCHED, orient="row")
    parts = [f"## Contamination: {cell(label)}", "Eval items that could be found:", table(head)]
    within = "\n".join(f"- {cell(within_line(one))}" for one in cover if one.within)
    if within:
        parts += ["Items that are not counted, for they are too generic:", within]
    unsearched = unsearched_line(build, label)
    left = [f"{cell(unsearched)}."] if unsearched else []
    if not found:
        verdict = "No row is matched." if within else "No row that reached this step contains one."
        return "\n\n".join([*parts, verdict, *left])
    more = f" {counted(len(found) - LINES, 'more pair')} of both: not listed." if len(found) > LINES else ""
    shown = (
        "The items in the rows of each source that reached this step; rows with only generic items are counted "
        f"separately. A source with more than 2 % of an eval's items counts as contaminated by it as a whole.{more}"
    )
    listed = pl.DataFrame(found[:LINES], orient="row").with_columns(percent("row_share"), percent("item_share"))
    parts += [shown, table(listed), *left]
    staying = count_staying(build, label)
    if staying:
        parts.append(f"Rows with an item that were not dropped, flagged or of a protected source: {staying:,}.")
    return "\n\n".join(parts)


def _finding_tables(build: Build) -> list[str]:
    """Return a list of the tables that steps left as findings."""
    found = [(label, table) for label in build.steps for table in finding_tables(build, label)]
    lines = [f"- {cell(label)}: {cell(table_line(table))}" for label, table in found]
    return ["\n".join(["## Findings\n", *lines])] if lines else []


def _costs(build: Build) -> list[str]:
    """Return a section on groups of which a step drops more than of all rows, and on refusals of harm that remain."""
    found = build.chart.data("costs")
    harm = [(label, line.whole) for label in build.steps if (line := harm_line(build, label)) is not None]
    parts = [f"- {cell(label)}: {cell(text)}." for label, text in harm]
    if not found.height:
        return ["\n".join(["## What steps cost\n", *parts])] if parts else []
    shown = found.head(LINES).select("step", "dimension", "group", "reached", "dropped", "share", "overall")
    more = f" {counted(found.height - LINES, 'more group')}: not listed." if found.height > LINES else ""
    head = f"Groups of rows of which a step drops far more than of all rows (*overall*).{more}"
    lines = table(shown.with_columns(percent("share"), percent("overall")))
    return ["\n\n".join(["## What steps cost", head, lines, *(["\n".join(parts)] if parts else [])])]


def table(frame: pl.DataFrame) -> str:
    r"""Return a frame as a Markdown table: numbers right, thousands separated, zeros as dots.

    >>> print(table(pl.DataFrame({"source": ["a|b"], "rows": [1200]})))
    | source | rows |
    |---|---:|
    | a\|b | 1,200 |
    """
    numeric = [kind.is_numeric() for kind in frame.dtypes]
    lines = [[cell(name) for name in frame.columns], ["---:" if right else "---" for right in numeric]]
    head, rule = f"| {' | '.join(lines[0])} |", f"|{'|'.join(lines[1])}|"
    rows = ([cell(one) if isinstance(one, str) else f"{one:,}" if one else "·" for one in row] for row in frame.rows())
    return "\n".join([head, rule, *(f"| {' | '.join(row)} |" for row in rows)])


def _steps(build: Build) -> str:
    lines = [
        f"{place}. **{cell(step['label'])}** ({step['kind']}, version {step['step']['version']}): "
        + code(settings(step["step"]) or "defaults")
        for place, step in enumerate(build.manifest["steps"], 1)
    ]
    shown = "In this order; settings that are off are left out." if lines else "None."
    return "\n".join([f"## Steps\n\n{shown}\n", *lines])


def _sources(build: Build) -> str:
    shown = [
        (
            source["name"],
            source["licence"] or "not stated",
            source["format"],
            "yes" if source["protect"] else "",
            source["content"],
        )
        for source in build.manifest["sources"]
    ]
    frame = pl.DataFrame(shown, schema=["source", "licence", "format", "protected", "content"], orient="row")
    found = f"## Sources and licences\n\nThe rows keep the licences of their sources.\n\n{table(frame)}"
    if not build.manifest.get("use") and not any("licences" in source for source in build.manifest["sources"]):
        return found
    return f"{found}\n\nRows in the data files by licence:\n\n{table(build.licences)}"


def _rebuild(build: Build) -> str:
    versions = ", ".join(cell(f"{name} {version}") for name, version in build.manifest["versions"].items())
    return f"""## Rebuild

The same mixture on the same data gives the same bytes, on any number of threads:

```sh
curate build MIXTURE.py --out FOLDER
```

- Mixture: fingerprint `{build.manifest["fingerprint"]}`, seed {build.manifest["seed"]}; see `manifest.json`.
- Data: the column *content* above is a hash of the rows of each source, in any order.
- Made with: {versions}."""
