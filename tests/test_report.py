"""report.html: small enough, self-contained, drawn from thinned series that keep their extremes, its words escaped."""

from __future__ import annotations

import json
import random
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from riskbed import runs
from riskbed.labels import Label
from riskbed.replay import Options, Replay, replace, replay
from riskbed.report import BYTES_MAX, charts, page, render
from specs.tape import Grade

MINUTE = charts.MINUTE_NS


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Replay:
    return replay(Options(incident="2025-10-10-binance-usde", accounts=400, lockstep=0, out=tmp_path_factory.mktemp("runs")))


@pytest.fixture(scope="module")
def text(done: Replay) -> str:
    return (Path(done.answer.run_folder) / "report.html").read_text(encoding="utf-8")


class Reader(HTMLParser):
    """Collects what a page would fetch, its ids and its scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.fetched, self.ids, self.scripts, self.words, self._inside = [], [], [], [], ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self._inside = tag
        self.ids += [value for name, value in attrs if name == "id"]
        self.fetched += [
            (tag, name, value) for name, value in attrs if name in ("src", "href", "srcset", "data", "action", "poster")
        ]
        self.scripts += [""] if tag == "script" else []

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside == "script":
            self.scripts[-1] += data
        else:
            self.words.append(data)


def figures(text: str) -> dict[str, dict]:
    """Return the figures that the page's own script draws, by the id of their place."""
    script = Reader(text).scripts[-1]
    decoder, found, _at = json.JSONDecoder(), {}, 0
    for match in re.finditer(r'Plotly\.newPlot\("([^"]+)", ', script):
        found[match[1]], _at = decoder.raw_decode(script, match.end())
    return found


def test_it_is_small_enough(text: str) -> None:
    assert 4_000_000 < len(text.encode()) <= BYTES_MAX == 6_000_000


def test_it_fetches_nothing(text: str) -> None:
    reader = Reader(text)
    assert reader.fetched == []
    assert "default-src 'none'" in text
    own = text.replace(max(reader.scripts, key=len), "")
    assert "http://" not in own and "https://" not in own and "url(" not in own and "@import" not in own


def test_its_last_act_is_the_title(text: str) -> None:
    script = Reader(text).scripts[-1]
    assert re.search(r"Promise\.all\(\[.*\]\)\.then\(\(\) => \{ document\.title = \"[^\"]+: replay\"; \}\);$", script, re.DOTALL)
    assert "<title>drawing</title>" in text


def test_three_charts_each_in_its_place(text: str) -> None:
    drawn = figures(text)
    assert list(drawn) == ["prices-0", "prices-1", "labels"]
    assert set(drawn) <= set(Reader(text).ids)
    names = [trace["name"] for trace in drawn["prices-0"]["data"]]
    assert [name.partition(" ")[0] for name in names[:4]] == [
        "index,",
        "binance-spot:USDEUSDT",
        "uniswap-v3:USDEUSDT",
        "ethena:USDE-redemption",
    ]
    assert any("synthetic" in trace["name"] for trace in drawn["prices-1"]["data"])
    for figure in drawn.values():
        layout = figure["layout"]
        assert layout["title"]["text"] and layout["xaxis"]["title"]["text"] == "time, UTC" and layout["yaxis"]["title"]["text"]


def test_the_lowest_own_price_is_on_the_chart(text: str) -> None:
    own = next(trace for trace in figures(text)["prices-0"]["data"] if trace["name"].startswith("binance-spot"))
    assert min(own["y"]) == 0.6651
    assert own["x"][own["y"].index(0.6651)] == "2025-10-10T21:43:00"


def test_the_bars_add_up_to_the_labels(done: Replay, text: str) -> None:
    bars = {trace["name"]: sum(trace["y"]) for trace in figures(text)["labels"]["data"]}
    for which in Label:
        notional = float(getattr(done.answer.labels, which.name.lower()).notional) / 1e6
        sign = -1 if which in (Label.MISSED, Label.IN_BAND_MISSED) else 1
        assert bars.get(charts.WORDS[which], 0) == pytest.approx(sign * notional)


def test_every_label_has_a_colour_of_its_own() -> None:
    assert set(charts.COLOURS) == set(charts.WORDS) == set(Label)
    assert len(set(charts.COLOURS.values())) == len(Label)


def test_what_must_be_said_is_there(done: Replay, text: str) -> None:
    words = " ".join(" ".join(Reader(text).words).split())
    answer = done.answer
    said = [answer.token, answer.digest, answer.make_whole.rule, *answer.unknowns, *(note.why for note in answer.assumed)]
    said += [rule.title for rule in answer.rules] + [row.note for row in answer.series]
    for line in said:
        assert " ".join(line.split()) in words
    assert f"{answer.labels.erroneous.lots:,} lots" in words
    assert "synthetic:BTCUSDT, accounts" in words, "what is synthetic stands at the top"


def test_words_of_others_cannot_become_markup(done: Replay) -> None:
    evil = '</script><script>alert("x")</script><img src=x onerror=alert(1)>'
    answer = done.answer.model_copy(update={"title": evil, "token": evil, "unknowns": [evil]})
    clean, attacked = Reader(render(done, series(done))), Reader(render(replace(done, answer=answer), series(done)))
    assert len(attacked.scripts) == len(clean.scripts) == 2 and attacked.fetched == []
    assert attacked.scripts[-1].endswith("document.title = " + page._json(f"{evil}: replay") + "; });")


def series(done: Replay) -> dict:
    return runs.series_of(done.inputs, done.ran)


def test_a_report_that_is_too_large_is_refused(done: Replay, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "BYTES_MAX", 1_000_000)
    with pytest.raises(ValueError, match="at most 1000000"):
        render(done, series(done))


def test_a_run_without_a_forced_close_has_a_report(done: Replay) -> None:
    keep = np.zeros(0, dtype=np.int64)
    columns = ("account", "market", "lots", "label", "in_broken", "broken", "time_ns", "true_ns", "matched")
    empty = replace(done.labels, notional=[], **{name: getattr(done.labels, name)[keep] for name in columns})
    assert figures(render(replace(done, labels=empty), series(done)))["labels"]["data"] == []


@pytest.mark.parametrize("count", [1, 2, 39, 40, 41, 500, 5_000])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_thinning_keeps_ends_and_extremes_of_every_bucket(count: int, seed: int) -> None:
    dice = random.Random(seed)
    x = np.cumsum([dice.randint(0, 10**9) for _ in range(count)]) + 1_760_000_000 * 10**9
    y = np.array([dice.randint(-(10**9), 10**9) for _ in range(count)])
    kept = charts.thin(x, y, 10)
    assert len(kept) <= 40 or len(kept) == count <= 40
    assert np.all(np.diff(kept) > 0) and {0, count - 1} <= set(kept.tolist())
    bucket = [(int(t) - int(x[0])) * 10 // (int(x[-1]) - int(x[0]) + 1) for t in x]
    for b in set(bucket):
        ours = [i for i in range(count) if bucket[i] == b]
        mine = [i for i in kept.tolist() if bucket[i] == b]
        assert (min(y[mine]), max(y[mine])) == (min(y[ours]), max(y[ours]))


def test_a_line_holds_its_last_value_to_the_end_and_breaks_where_it_is_not_valid() -> None:
    time_ns = np.array([0, 1, 2, 9]) * MINUTE
    grade = np.array([Grade.VALID, Grade.STALE, Grade.VALID, Grade.VALID], dtype=np.uint8)
    trace = charts.step_line("a", (time_ns, np.array([10, 11, 12, 99]), grade, 1), "#000", 5 * MINUTE)
    assert trace["y"] == [1.0, None, 1.2, 1.2]
    assert trace["x"] == [f"1970-01-01T00:0{minute}:00" for minute in (0, 1, 2, 5)]
