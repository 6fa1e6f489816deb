"""Fail when Cython would hint that a line of the engine is slow: a release build has no performance hint.

Compiles every .pyx to C again, with the directives of setup.py, and reads what Cython says. Exit 1 and the hints, if any.
"""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DIRECTIVES = ",".join(f"{name}={value}" for name, value in runpy.run_path(str(ROOT / "setup.py"))["DIRECTIVES"].items())


def hints(source: Path, folder: str) -> str:
    """Return Cython's words on one source, empty without a hint. A source that does not compile raises."""
    command = [sys.executable, "-m", "cython", "-X", DIRECTIVES, "-o", f"{folder}/{source.stem}.c", str(source.relative_to(ROOT))]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    said = done.stdout + done.stderr
    if done.returncode:
        raise SystemExit(f"{source.name} does not compile:\n{said}")
    return said if "performance hint" in said else ""


def main() -> int:
    sources = sorted((ROOT / "engine").glob("*.pyx"))
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(os.cpu_count()) as pool:
        found = [said for said in pool.map(lambda source: hints(source, folder), sources) if said]
    print("\n".join(found) if found else f"{len(sources)} sources of the engine, no performance hint", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
