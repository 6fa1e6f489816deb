"""Build a wheel, install it into an empty venv outside the tree, and replay an incident from there without a network.

    python tests/wheel_check.py INCIDENT [option of replay ...]

What an editable checkout cannot show: that the wheel holds every module, table and extension, names every dependency, and
that nothing of the checkout is needed at run time. Exit 1 with one line when something is wrong.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# An audit hook, in this process and in every worker it starts: whoever asks for the network gets an error.
OFFLINE = """import sys
def refuse(event, args):
    if event in ("socket.getaddrinfo", "socket.gethostbyname") or event == "socket.connect" and isinstance(args[1], tuple):
        raise OSError(f"wheel check: a run must not use the network, {event}{args[1:]}")
sys.addaudithook(refuse)
"""


def run(command: list[str | Path], folder: Path, **environment: str) -> str:
    """Return stdout of a command; its failure ends the check with what it said."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "RISKBED_"))}
    done = subprocess.run([str(part) for part in command], cwd=folder, env=clean | environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def build(folder: Path) -> Path:
    """Return a fresh release wheel. What an older wheel left in the build tree is taken away first."""
    for stale in [*(ROOT / "build" / "release").glob("lib.*"), *(ROOT / "build" / "release").glob("bdist.*")]:
        shutil.rmtree(stale)
    pip = [sys.executable, "-m", "pip", "wheel", "-q", "--disable-pip-version-check", "--no-deps", "--no-build-isolation"]
    run([*pip, "-w", folder, ROOT], folder, RISKBED_BUILD="release")
    (wheel,) = folder.glob("riskbed-*.whl")
    return wheel


def compare(wheel: Path) -> None:
    """Compare the names in the wheel with those in the tree."""
    names = set(zipfile.ZipFile(wheel).namelist())
    wanted = {
        str(path.relative_to(ROOT))
        for room in ("specs", "engine", "fuzz", "riskbed")
        for pattern in ("**/*.py", "**/*.yaml", "**/*.json", "corpus/**/*")
        for path in (ROOT / room).glob(pattern)
        if path.is_file()
    }
    compiled = {name.partition(".")[0] for name in names if name.endswith(".so")}
    extra = {name for name in names - wanted if not name.endswith(".so") and ".dist-info/" not in name}
    absent = wanted - names | {path.stem for path in (ROOT / "engine").glob("*.pyx") if f"engine/{path.stem}" not in compiled}
    if absent or extra:
        raise SystemExit(f"{wheel.name}: absent {sorted(absent)}, not wanted {sorted(extra)}")


def install(wheel: Path, folder: Path) -> Path:
    """Return the Python of a new venv that holds the wheel, its dependencies and no network."""
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    run([python, "-m", "pip", "install", "-q", "--disable-pip-version-check", wheel], folder)
    site = Path(run([python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], folder).strip())
    (site / "offline.py").write_text(OFFLINE)
    (site / "offline.pth").write_text("import offline\n")
    return python


def main(incident: str, *options: str) -> int:
    with tempfile.TemporaryDirectory(prefix="riskbed-wheel-") as name:
        folder = Path(name)
        wheel = build(folder)
        compare(wheel)
        python = install(wheel, folder / "venv")
        elsewhere = folder / "elsewhere"
        elsewhere.mkdir()
        where = run([python, "-c", "import engine.exchange as x; print(x.__file__)"], elsewhere).strip()
        if not where.startswith(str(folder)):
            raise SystemExit(f"the engine was imported from {where}, not from the wheel")
        command = folder / "venv" / "bin" / "riskbed"
        run([command, "--help"], elsewhere)
        result = json.loads(run([command, "replay", incident, "--json", *options], elsewhere))
        reports = list(elsewhere.glob("runs/*/report.html"))
        if not reports:
            raise SystemExit("the replay left no runs/*/report.html where it was started")
    print(f"{wheel.name}: installed elsewhere, replayed {incident} offline, digest {result['digest']}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
