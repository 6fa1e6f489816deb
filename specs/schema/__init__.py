"""JSON Schemas of the files people write, for their editors. Generated: `python -m specs.schema` writes them anew."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

FOLDER = Path(__file__).parent
MODELS = {
    "venue": ("specs.rules", "Venue"),
    "preset": ("specs.rules", "Preset"),
    "plan": ("specs.faults", "Plan"),
    "incident": ("specs.incident", "Incident"),
    "suite": ("specs.suite", "Suite"),
    "baseline": ("specs.suite", "Baseline"),
    "cascade": ("specs.pair", "Cascade"),
    "pair": ("specs.pair", "Pair"),
}


def text_of(schema: dict) -> str:
    """Return a model's JSON Schema as text: keys sorted, so that it changes only when the rows do."""
    return json.dumps({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}, indent=2, sort_keys=True) + "\n"


def render(name: str) -> str:
    """Return the schema of a kind of file as text."""
    module, model = MODELS[name]
    return text_of(getattr(importlib.import_module(module), model).model_json_schema())
