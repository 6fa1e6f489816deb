"""What is packaged: the object behind `incidents --json` and `venues --json`. specs/schema/listing.json is its JSON Schema.

`python -m riskbed.listing` writes the schema anew.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from riskbed.result import Part
from specs import load
from specs.schema import text_of


class Packaged(Part):
    """A name that the command takes; file: where its YAML lies; an incident has a row for each of its names."""

    name: str
    title: str
    file: str


class Listing(Part):
    schema_version: Literal[1]
    kind: Literal["incident", "venue"]
    rows: list[Packaged]


def listing(kind: Literal["incident", "venue"]) -> Listing:
    """Return everything that is packaged of a kind."""
    rows = []
    for name, path in load.names(kind).items():
        title = load.parse(load.read_text(path), load.shown(path)).tree.get("title", "")
        rows.append(Packaged(name=name, title=title, file=load.shown(path)))
    return Listing(schema_version=1, kind=kind, rows=rows)


SCHEMA = Path(__file__).parent.parent / "specs" / "schema" / "listing.json"


def schema() -> str:
    """Return the JSON Schema of a listing as text: keys sorted."""
    return text_of(Listing.model_json_schema())


if __name__ == "__main__":
    SCHEMA.write_text(schema(), encoding="utf-8")
