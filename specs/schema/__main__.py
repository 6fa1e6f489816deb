"""Write specs/schema/*.json from the pydantic rows."""

from specs.schema import FOLDER, MODELS, render

for name in MODELS:
    (FOLDER / f"{name}.json").write_text(render(name), encoding="utf-8")
    print(f"specs/schema/{name}.json")
