"""What was published of a mixture, so that a build can be held against it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from curate.errors import MixtureError, check_whole


@dataclass(frozen=True)
class Published:
    """What was published of one source of a mixture.

    Args:
        rows: the rows that the published mixture has of it, before its own filters.
        kept: the rows after these filters; None where that was not published, or there are none.
        cite: where the figures were read.
        sampled: its rows are a random sample of which only the size was published.
        gone: why the source is no longer there to read; empty where one can.
        note: how the declared source differs from the published one.

    Raises:
        MixtureError: a count is no whole number from 0.

    Example:
        >>> Published(50_000, cite="arXiv 2311.10702, section 2", sampled=True).expected
        50000
    """

    rows: int
    kept: int | None = field(default=None, kw_only=True)
    cite: str = field(default="", kw_only=True)
    sampled: bool = field(default=False, kw_only=True)
    gone: str = field(default="", kw_only=True)
    note: str = field(default="", kw_only=True)

    def __post_init__(self) -> None:
        for count in (self.rows, *(() if self.kept is None else (self.kept,))):
            check_whole(f"Published({count!r})", count, least=0)
        if not all(isinstance(text, str) for text in (self.cite, self.gone, self.note)):
            raise MixtureError("Published(...): cite, gone and note are text")

    @property
    def expected(self) -> int:
        """The rows that the published mixture has of the source in the end."""
        return self.rows if self.kept is None else self.kept

    def at(self, scale: float) -> Published:
        """Return the same for a mixture of another size.

        Args:
            scale: what each count is multiplied by; no count becomes 0.

        >>> Published(7_708).at(0.01).rows
        77
        """
        return replace(
            self, rows=scaled(self.rows, scale), kept=None if self.kept is None else scaled(self.kept, scale)
        )


def scaled(rows: int, scale: float) -> int:
    """Return a count times a scale as a whole number, at least 1 if the count is.

    >>> scaled(7_708, 0.01), scaled(20, 0.01), scaled(0, 0.5)
    (77, 1, 0)
    """
    return max(min(rows, 1), round(rows * scale))
