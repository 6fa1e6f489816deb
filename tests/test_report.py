"""report.html: small enough, self-contained, drawn from thinned series that keep their extremes, its words escaped."""

from __future__ import annotations

import json
import random
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from riskbed import result, runs
from riskbed.cli import show
from riskbed.labels import Label
from riskbed.replay import Options, Replay, replace, replay
from riskbed.report import BYTES_MAX, charts, html, render, timeline, waterfall
from riskbed.waterfall import Cause
from riskbed.waterfall import Waterfall as Fall
from specs import units
from specs.faults import Plan
from specs.tape import EventKind, Grade, Meta, Tape
from tests.test_waterfall import SLICE
from tests.twins import START_NS, index, small_venue, tape

MINUTE = 60 * units.NS


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
    assert list(drawn) == ["timeline", "waterfall", "rounds"]
    assert set(drawn) <= set(Reader(text).ids)


def test_prices_and_closes_stand_over_one_time_axis(text: str) -> None:
    layout = figures(text)["timeline"]["layout"]
    titles = [note["text"] for note in layout["annotations"]]
    assert titles[0] == "incident window"
    assert [title.partition(":")[0].partition(" by")[0] for title in titles[1:]] == ["USDEUSDT", "BTCUSDT", "Forced closes"]
    assert [axis for axis in layout if axis.startswith("xaxis")] == ["xaxis"] and layout["xaxis"]["anchor"] == "y3"
    domains = [layout[axis]["domain"] for axis in ("yaxis", "yaxis2", "yaxis3")]
    assert all(0 <= low < high <= 1 for low, high in domains) and domains[0][0] > domains[1][1] > domains[1][0] > domains[2][1]
    assert {trace["yaxis"] for trace in figures(text)["timeline"]["data"]} == {"y", "y2", "y3"}
    assert all("xaxis" not in trace for trace in figures(text)["timeline"]["data"])
    assert [(shape["x0"], shape["x1"]) for shape in layout["shapes"]] == [("2025-10-10T21:36:00", "2025-10-10T22:16:00")]


def test_every_price_has_a_line_or_shares_one(text: str) -> None:
    traces = figures(text)["timeline"]["data"]
    names = {axis: [trace["name"] for trace in traces if trace["yaxis"] == axis] for axis in ("y", "y2")}
    assert names["y"] == [
        "index = collateral USDE, published (broken run)",
        "binance-spot:USDEUSDT (recorded)",
        "uniswap-v3:USDEUSDT (recorded)",
        "ethena:USDE-redemption (derived)",
        "index, true, lower edge",
        "index, true, upper edge",
    ]
    assert names["y2"] == ["index = mark BTCUSDT, published (broken run)", "synthetic:BTCUSDT (synthetic)", "last BTCUSDT"]


def test_the_lowest_own_price_is_on_the_chart(text: str) -> None:
    own = next(trace for trace in figures(text)["timeline"]["data"] if trace["name"].startswith("binance-spot"))
    assert min(own["y"]) == 0.6651
    assert own["x"][own["y"].index(0.6651)] == "2025-10-10T21:43:00"


def test_the_points_of_a_lane_add_up_to_its_label(done: Replay, text: str) -> None:
    figure = figures(text)["timeline"]
    lanes = {trace["name"]: trace for trace in figure["data"] if trace["yaxis"] == "y3"}
    names = figure["layout"]["yaxis3"]["ticktext"]
    scales = set()
    for which in Label:
        total, lane = getattr(done.answer.labels, which.name.lower()), lanes.get(charts.WORDS[which])
        assert (lane is None) == (total.lots == 0)
        if lane is not None:
            assert sum(int(words.split()[0].replace(",", "")) for words in lane["text"]) == total.lots
            assert set(lane["y"]) == {names.index(charts.WORDS[which])} and lane["marker"]["sizemode"] == "area"
            scales.add(round(sum(lane["marker"]["size"]) / float(total.notional), 9))
    assert len(lanes) >= 2 and len(scales) == 1, "one scale of area for all lanes"
    biggest = max(size for lane in lanes.values() for size in lane["marker"]["size"])
    assert biggest == pytest.approx(charts.POINT_PX**2)


def test_the_waterfall_falls_from_the_margin_to_what_was_kept(done: Replay, text: str) -> None:
    (bars,) = figures(text)["waterfall"]["data"]
    fall = done.answer.waterfall[0]
    assert (bars["y"][0], bars["y"][-1]) == (float(fall.margin), float(fall.kept))
    assert sum(bars["y"][:-1]) == pytest.approx(bars["y"][-1], abs=1e-6)
    low, high = figures(text)["waterfall"]["layout"]["yaxis"]["range"]
    sums = np.cumsum(bars["y"][:-1])
    assert low < min(0, sums.min()) and high > max(0, sums.max())
    assert bars["measure"] == ["absolute", *["relative"] * (len(bars["y"]) - 2), "total"]
    assert {"book", "takeover", "ADL", "conversion,<br>treasury", "fund<br>draw", "bad debt"} <= set(bars["x"])
    assert fall.accounts > 0 and len(done.answer.waterfall) == 3


def test_every_cause_has_words() -> None:
    assert set(waterfall.WORDS) == set(waterfall.SHORT) == set(Cause)


def exact(rows) -> int:
    return sum(units.decimal_to_int(row.money, 30) for row in rows)


def test_the_waterfall_in_json_adds_up_to_the_last_digit(done: Replay) -> None:
    for fall in done.answer.waterfall:
        margin, kept, end = (units.decimal_to_int(money, 30) for money in (fall.margin, fall.kept, fall.end))
        assert exact(fall.before) == margin and margin + exact(fall.inside) == kept and kept + exact(fall.after) == end


def test_a_flow_goes_from_one_group_to_another_and_the_ends_are_their_sums(done: Replay) -> None:
    paid = done.answer.paid
    found: dict[tuple[str, str], int] = {}
    for row in paid.payments:
        money = units.decimal_to_int(row.money, 8)
        assert money > 0 and row.payer != row.payee
        for group, sign in ((row.payer, -1), (row.payee, 1)):
            found[group, row.asset] = found.get((group, row.asset), 0) + sign * money
    ends = {(row.group, row.asset): units.decimal_to_int(row.money, 8) for row in paid.ends}
    assert {key: money for key, money in found.items() if money} == ends
    for asset in ("USDT", "USDE"):
        assert sum(money for (_, of), money in ends.items() if of == asset) == 0
    assert {"LIQUIDATED", "OTHERS", "QUOTERS", "OUTSIDE", "FUND", "BACKSTOP", "FEES", "TREASURY"} == {
        row.group for row in paid.ends
    } | {"LIQUIDATED"}


def test_every_label_has_a_colour_of_its_own() -> None:
    assert set(charts.COLOURS) == set(charts.WORDS) == set(Label)
    assert len(set(charts.COLOURS.values())) == len(Label)


def test_what_must_be_said_is_there(done: Replay, text: str) -> None:
    words = " ".join(" ".join(Reader(text).words).split())
    answer = done.answer
    said = [answer.token, answer.digest, answer.make_whole.rule, *answer.unknowns, *(note.why for note in answer.assumed)]
    said += [rule.title for rule in answer.rules] + [row.note for row in answer.series]
    said += ["Where the loss of the liquidated accounts went", "Who paid whom", "Not compared (--lockstep 0)", "Not checked"]
    for line in said:
        assert " ".join(line.split()) in words
    assert f"{answer.labels.erroneous.lots:,} lots" in words
    assert "synthetic:BTCUSDT, accounts" in words, "what is synthetic stands at the top"


def test_words_of_others_cannot_become_markup(done: Replay) -> None:
    evil = '</script><script>alert("x")</script><img src=x onerror=alert(1)>'
    answer = done.answer.model_copy(update={"title": evil, "token": evil, "unknowns": [evil]})
    clean, attacked = Reader(render(done, series(done))), Reader(render(replace(done, answer=answer), series(done)))
    assert len(attacked.scripts) == len(clean.scripts) == 2 and attacked.fetched == []
    assert attacked.scripts[-1].endswith("document.title = " + html._json(f"{evil}: replay") + "; });")


def series(done: Replay) -> dict:
    return runs.series_of(done.inputs, done.ran)


def test_a_report_that_is_too_large_is_refused(done: Replay, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(html, "BYTES_MAX", 1_000_000)
    with pytest.raises(ValueError, match="at most 1000000"):
        render(done, series(done))


def words(text: str) -> str:
    return " ".join(" ".join(Reader(text).words).split())


def test_a_run_without_a_forced_close_has_a_report(done: Replay) -> None:
    keep = np.zeros(0, dtype=np.int64)
    columns = ("account", "market", "lots", "label", "in_broken", "broken", "time_ns", "true_ns", "matched")
    empty = replace(done.labels, notional=[], **{name: getattr(done.labels, name)[keep] for name in columns})
    none = result.Waterfall(**Fall(8, 0, 0, 0, 0).summary("broken"))
    nobody = done.answer.model_copy(update={"waterfall": [none], "paid": result.Paid(payments=[], ends=[])})
    text = render(replace(done, labels=empty, answer=nobody), series(done))
    figure = figures(text)["timeline"]
    assert list(figures(text)) == ["timeline", "rounds"], "rounds are told by the outcomes, which are left as they were"
    assert [t["name"] for t in figure["data"] if t["yaxis"] == "y3"] == ["nothing"]
    assert figure["layout"]["annotations"][-1]["text"] == "No forced close"
    assert "Nobody was liquidated, in no run." in words(text) and "Nobody paid anybody." in words(text)


def test_a_tape_of_one_s_own_has_a_report(tmp_path: Path) -> None:
    """No incident, no fault, no collateral: one price and its lanes."""
    venue = small_venue(collateral=[], indices=[index("COIN", {"kind": "source", "name": "coin"})])
    (tmp_path / "venue.yaml").write_text(json.dumps(venue.model_dump(mode="json", by_alias=True, exclude_defaults=True)))
    events = tape(venue, SLICE.replace("0    source usd 1 ", "0    clock")).copy()
    clock = events[:1].copy()
    clock["kind"], clock["time_ns"] = EventKind.CLOCK, START_NS
    meta = Meta("small", START_NS, START_NS + 2 * units.NS, cadence_ns=100 * units.NS)
    Tape(np.concatenate((clock, events)), meta).write(tmp_path / "own.parquet")
    done = replay(Options(tape=tmp_path / "own.parquet", venue=tmp_path / "venue.yaml", out=tmp_path / "runs", lockstep=1))
    text = (Path(done.answer.run_folder) / "report.html").read_text(encoding="utf-8")
    timeline = figures(text)["timeline"]
    assert [trace["name"] for trace in timeline["data"]] == [
        "index = mark COINUSDT, published (broken run)",
        "coin",
        "last COINUSDT",
        "organic",
    ]
    assert timeline["layout"]["shapes"] == []
    assert done.answer.laws.events == done.answer.laws.of == 2 * len(events) + 2 and not done.answer.laws.broken
    assert f"{done.answer.laws.of:,} events (100.0%)" in words(text) and "L20 gains = losses between two runs" in words(text)


def test_faults_are_shaded_where_there_is_no_incident(done: Replay) -> None:
    plan = Plan(
        schema_version=1,
        name="two",
        faults=[
            {"id": name, "kind": "spike", "source": "binance-spot:USDEUSDT", "from": start, "to": end, "magnitude_ppm": -10}
            for name, start, end in (
                ("a", "2025-10-10T20:00:00Z", "2025-10-10T21:10:00Z"),
                ("b", "2025-10-10T20:30:00Z", "2025-10-10T21:10:00Z"),
                ("c", "2025-10-10T22:10:00Z", "2025-10-11T01:00:00Z"),
                ("d", "2025-10-10T23:00:00Z", "2025-10-11T01:00:00Z"),
            )
        ],
    )
    inputs = replace(done.inputs, window=None, plans=done.inputs.plans | {"broken": plan})
    start, end = inputs.tape.meta.start_ns, inputs.horizon_ns
    at = units.instant_to_ns("2025-10-10T21:10:00Z"), units.instant_to_ns("2025-10-10T22:10:00Z")
    assert timeline.windows(inputs) == [(start, at[0], "fault a"), (at[1], end, "fault c")]


@pytest.mark.parametrize(("price", "hidden"), [(99, True), (100, False), (5_000, False), (25_000, False), (25_001, True)])
def test_a_line_of_another_scale_waits_for_a_click(price: int, hidden: bool) -> None:
    """The index goes from 5 to 50; five times less than 5 is 1, five times more than 50 is 250."""

    def line(*prices: int, places: int = 2) -> timeline.Line:
        times = np.arange(len(prices)) * MINUTE
        return timeline.Line("a", (times, np.array(prices), np.zeros(len(prices), dtype=np.uint8), places))

    published = line(500, 5_000)
    assert ("visible" in timeline._hidden(line(price), published)) == hidden
    assert timeline._hidden(published, published) == {}


def test_a_broken_law_is_on_the_page_and_on_stdout(done: Replay, capsys: pytest.CaptureFixture[str]) -> None:
    row = result.Law(name="L2", text="per asset", scope="always", events=7, broken=3, first="broken: after event 5: 1 too many")
    laws = result.Laws(runs=["broken"], events=7, of=14, rows=[row])
    broken = replace(done, answer=done.answer.model_copy(update={"laws": laws}))
    assert "broken 3 times; first broken: after event 5: 1 too many" in words(render(broken, series(done)))
    assert "; 1 laws broken" in words(render(broken, series(done)))
    show(broken)
    said = "Laws L2 BROKEN 3 times, first broken: after event 5: 1 too many: 1 of 1 checked after 7 of 14 events (50.0%)."
    assert said in capsys.readouterr().out.splitlines()


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
