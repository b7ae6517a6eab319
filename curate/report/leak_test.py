"""The leak test of a decontaminate step, for the terminal: which planted eval items it finds."""

from __future__ import annotations

from rich.text import Text

from curate.preview.leak_test import LeakTest, Way
from curate.report.contamination import coverage, coverage_lines
from curate.report.formatting import counted, of_all
from curate.report.highlights import plain


def leak_test_part(test: LeakTest) -> Text:
    """Return a step's coverage, and the share of planted items that it found."""
    text = Text.assemble((f"{test.label} finds what is planted", "bold underline"), "\n")
    if not test.ways:
        return text.append("  not tested: no row that was read has a turn that this step searches\n", style="yellow")
    for line in coverage_lines(coverage(test.items)):
        text.append(f"  {plain(line)}\n")
    width = max(len(way.name) for way in test.ways)
    for way in test.ways:
        text.append(f"  {way.name:{width}}  {_share(way)}", style="bold red" if way.failed else "")
        text.append(f"  missed: {_missed(way)}\n" if way.failed else "\n", style="red")
    if test.generic.planted:
        text.append(f"  {'generic, alone':{width}}  {_share(test.generic)}\n")
    fuzzy = "no fuzzy search" if test.fuzzy is None else f"fuzzy search from {test.fuzzy:g}"
    changed = "; fuzzy=0.85 finds more of those with a changed word" if test.fuzzy is None else ""
    return text.append(f"  {fuzzy}{changed}\n", style="dim")


def _share(way: Way) -> str:
    return f"{of_all(way.found / way.planted):>6}  of {counted(way.planted, 'item')}"


def _missed(way: Way) -> str:
    rest = way.planted - way.found - len(way.missed)
    return plain(", ".join(way.missed)) + (f" and {rest:,} more" if rest else "")
