"""A group that decides on each row by what it says alone, once its totals are known."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from curate.steps.base import Group, Resolved


@dataclass(frozen=True, kw_only=True)
class RowByRow(Group):
    """A group whose decision on a row depends on that row and on its totals, and on no other row.

    With the totals of an earlier build, what that build decided on a row still holds, and only rows that it did not
    decide on need keys.
    """

    @abstractmethod
    def joined(self, parts: Sequence[Resolved]) -> Resolved:
        """Return the decisions on all rows, from those on two or more parts of them with the same totals.

        Args:
            parts: What `resolve` answered on each part; no row is in two of them. Of tables without rows, the last part
                has what goes into the answer. The others may lack them.
        """
