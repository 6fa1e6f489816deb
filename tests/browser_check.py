"""Open reports in headless Chromium and hold them to their promises: drawn, quiet, offline, small, in time.

    python tests/browser_check.py [report.html ...]

Without a file a small replay and that of the pair are made first. Checked on a cold profile: the page's main thread needs at most
SECONDS_MAX until the last chart has set the title (processor time: how busy the machine is must not decide; the time on the wall
is printed too); it is no larger than BYTES_MAX; the console holds no warning or error; nothing is requested but the page itself;
every chart has drawn something. Chromium is spoken to over its debugging pipe. Exit 1 with one line a broken promise.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REPLAYS = (("2025-10-10-binance-usde", "--accounts", "400"), ("2025-10-10",))
SECONDS_MAX = 3.0
BYTES_MAX = 6_000_000  # as riskbed/report/html.py says
TITLES = (": replay", ": comparison", ": guards")  # what the last chart of a page sets
PATIENCE = 60.0
DRAWN = "path.js-line, path.point, .point path"
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --disable-dev-shm-usage --window-size=1200,1600 --remote-debugging-pipe"
).split()


class Browser:
    """A headless Chromium with an empty profile of its own, spoken to in JSON messages that end in a zero byte."""

    def __init__(self, folder: str) -> None:
        program = next(
            (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
        )
        if program is None:
            raise SystemExit("browser check: chromium is not installed; on Debian `apt-get install chromium`")
        to_read, self._to = os.pipe()
        self._from, to_write = os.pipe()
        # the pipe is file descriptors 3 and 4 of the browser; a shell puts them there
        command = [
            "sh",
            "-c",
            f'exec "$@" 3<&{to_read} 4>&{to_write}',
            "sh",
            program,
            *FLAGS,
            f"--user-data-dir={folder}",
            "about:blank",
        ]
        self.process = subprocess.Popen(
            command, pass_fds=(to_read, to_write), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        os.close(to_read)
        os.close(to_write)
        self._sent, self._buffer, self.events = 0, b"", []
        (page,) = [t for t in self.call("Target.getTargets")["targetInfos"] if t["type"] == "page"]
        self._session = None
        self._session = self.call("Target.attachToTarget", targetId=page["targetId"], flatten=True)["sessionId"]

    def call(self, method: str, **params: object) -> dict:
        """Return the answer of a command; events that come in between are kept in `events`."""
        self._sent += 1
        message = {"id": self._sent, "method": method, "params": params}
        if getattr(self, "_session", None):
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") == self._sent:
                if "error" in answer:
                    raise SystemExit(f"browser check: {method}: {answer['error']['message']}")
                return answer["result"]
            self.events.append(answer)

    def _receive(self) -> dict:
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._from], [], [], PATIENCE)
            data = os.read(self._from, 1 << 16) if ready else b""
            if not data:
                raise SystemExit("browser check: chromium does not answer")
            self._buffer += data
        message, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(message)

    def value(self, expression: str) -> object:
        return self.call("Runtime.evaluate", expression=expression, returnByValue=True)["result"].get("value")

    def close(self) -> None:
        os.close(self._to)
        os.close(self._from)
        self.process.terminate()
        self.process.wait(10)


def load(report: Path) -> tuple[float, float, list[str]]:
    """Return (seconds of the main thread, seconds on the wall, broken promises) of one load, up to the last title."""
    with tempfile.TemporaryDirectory(prefix="riskbed-browser-", ignore_cleanup_errors=True) as folder:
        browser = Browser(folder)
        try:
            browser.call("Performance.enable", timeDomain="threadTicks")
            for domain in ("Page", "Runtime", "Log", "Network"):
                browser.call(f"{domain}.enable")
            began = time.monotonic()
            browser.call("Page.navigate", url=report.resolve().as_uri())
            title = browser.value("document.title")
            while not str(title).endswith(TITLES) and time.monotonic() - began < PATIENCE:
                time.sleep(0.02)
                title = browser.value("document.title")
            wall = time.monotonic() - began
            metrics = {row["name"]: row["value"] for row in browser.call("Performance.getMetrics")["metrics"]}
            time.sleep(0.3)  # what a chart asks for after it was drawn
            charts = browser.value(f"[...document.querySelectorAll('.chart')].map(c => c.querySelectorAll('{DRAWN}').length)")
            broken = list(promises(browser.events, title, charts, report))
            if metrics["TaskDuration"] > SECONDS_MAX:
                broken.append(f"drawn after {metrics['TaskDuration']:.1f} s of the main thread, at most {SECONDS_MAX:g} s")
            return metrics["TaskDuration"], wall, broken
        finally:
            browser.close()


def promises(events: list[dict], title: object, charts: object, report: Path):
    """Yield what is wrong with a load."""
    if not str(title).endswith(TITLES):
        yield f"the last chart did not set the title, it is {title!r}"
    if not charts or not all(charts):
        yield f"a chart is empty: drawn parts {charts}"
    page = report.resolve().as_uri()
    for event in events:
        params = event.get("params", {})
        match event.get("method"):
            case "Network.requestWillBeSent":
                url = params["request"]["url"]
                if url != page and not url.startswith(("data:", "blob:", "about:")):
                    yield f"a request for {url}"
            case "Log.entryAdded" if params["entry"]["level"] in ("warning", "error"):
                yield f"console: {params['entry']['text']}"
            case "Runtime.consoleAPICalled" if params["type"] in ("warning", "error", "assert"):
                yield f"console: {' '.join(str(arg.get('value', arg.get('description'))) for arg in params['args'])}"
            case "Runtime.exceptionThrown":
                details = params["exceptionDetails"]
                yield f"exception: {details.get('exception', {}).get('description', details['text'])}"


def make_reports(folder: Path) -> list[Path]:
    """Return the reports of a small replay, whose size and charts are those of a large one, and of the pair."""
    for words in REPLAYS:
        command = [sys.executable, "-m", "riskbed.cli", "replay", *words, "--lockstep", "0", "--out", str(folder)]
        if subprocess.run(command, cwd=ROOT, stdout=subprocess.DEVNULL).returncode:
            raise SystemExit(f"browser check: the replay that makes a report failed: {words[0]}")
    reports = sorted(folder.glob("*/report.html"))
    if len(reports) != len(REPLAYS):
        raise SystemExit(f"browser check: {len(reports)} reports of {len(REPLAYS)} replays")
    return reports


def check(report: Path) -> bool:
    """Return whether a report keeps its promises; say what it weighs and each that is broken."""
    thread, wall, broken = load(report)
    size, name = report.stat().st_size, report.parent.name
    if size > BYTES_MAX:
        broken.append(f"{size:,} bytes, at most {BYTES_MAX:,}")
    for line in broken:
        print(f"browser check: {name}: {line}", file=sys.stderr)
    times = f"title after {thread:.2f} s of the main thread, {wall:.2f} s on the wall"
    print(f"{name}: {size / 1e6:.1f} MB, {times}", file=sys.stderr)
    return not broken


def main(*arguments: str) -> int:
    with tempfile.TemporaryDirectory(prefix="riskbed-report-") as name:
        reports = [Path(argument) for argument in arguments] or make_reports(Path(name))
        kept = [check(report) for report in reports]
    return 0 if all(kept) else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
