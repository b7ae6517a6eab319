"""Turn raw instruction and preference data into training-ready mixtures, and account for every row on the way.

>>> import curate as c
>>> c.Rows(1_000)
Rows(n=1000)

The public names are listed once, in `__init__.pyi`, for people, type checkers and Python alike. They load when they are
first used: `import curate` itself takes a few milliseconds.
"""

from __future__ import annotations

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
