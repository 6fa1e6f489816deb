"""How the laws are checked: a file for each noun that they speak of. specs/laws.py says which law is where.

A law is a generator over a `Case`, one event with the state before and after it, and yields a sentence for each breach. Where a
file has one law its helpers stand behind it; what several files ask is public in the file whose noun it is.
"""

from __future__ import annotations

from collections.abc import Iterator

Breaches = Iterator[str]
