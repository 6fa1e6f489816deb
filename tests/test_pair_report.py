"""report.html of a pair: its figures are those of the JSON answer, every section is there, nothing is fetched; empty cases."""

from __future__ import annotations

import functools
import json
import re
from html import unescape
from pathlib import Path

import numpy as np
import pytest
from pyarrow import parquet

from riskbed import pair as pairing
from riskbed import pair_tables, runs
from riskbed.causes import Cause
from riskbed.labels import Label
from riskbed.macro import pair_tape
from riskbed.pair_result import PairResult
from riskbed.replay import Options, replace
from riskbed.report import BYTES_MAX, charts, decomposition, html, pair_timeline, waterfall
from riskbed.report.decomposition import COLOURS, FIELDS
from riskbed.report.pair import render
from riskbed.result import Waterfall, rounded
from riskbed.waterfall import Cause as LossCause
from specs import units
from specs.tape import Grade
from tests.test_report import Reader, figures, words

SHARE_PPM = 30_000  # of the pair's accounts
SECTIONS = (
    "Runs of one base tape",
    "On one clock",
    "What A cost, what B cost, and what only both did",
    "By stage",
    "Where the loss of the liquidated accounts went",
    "Who gained, who lost",
    "Run against run, lot by lot",
    "Why lots were closed in A+B",
    "What this run does not know",
    "Assumed values",
    "Twins",
    "Laws",
    "Where the figures come from",
    "Inputs and runs",
    "Replay token",
)


@pytest.fixture(scope="module")
def small():
    """Return a function that replays a small share of the accounts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pairing, "pair_tape", functools.partial(pair_tape, share_ppm=SHARE_PPM))
        yield lambda incident, out, **more: pairing.replay(Options(incident=incident, lockstep=0, out=out, **more))


@pytest.fixture(scope="module")
def done(small, tmp_path_factory: pytest.TempPathFactory) -> pairing.Done:
    return small("2025-10-10", tmp_path_factory.mktemp("runs"))


def page(done: pairing.Done) -> str:
    return (Path(done.answer.run_folder) / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def text(done: pairing.Done) -> str:
    return page(done)


@pytest.fixture(scope="module")
def drawn(text: str) -> dict[str, dict]:
    return figures(text)


def series(done: pairing.Done) -> dict[str, dict]:
    inputs = done.inputs
    return {
        name: runs.series_rows(pairing.overlay(inputs.tape.events, inputs.plans[name], inputs.venue), ran.outcomes, inputs.venue)
        for name, ran in done.ran.items()
    }


def headings(text: str) -> list[str]:
    return [unescape(found) for found in re.findall(r"<h2>(.*?)</h2>", text)]


def tables(text: str) -> list[list[list[str]]]:
    """Return every table of a page as rows of cells in words, heads too."""
    found = []
    for table in re.findall(r"<table.*?</table>", text, re.DOTALL):
        rows = [
            re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.DOTALL) for row in re.findall(r"<tr>(.*?)</tr>", table, re.DOTALL)
        ]
        found.append([[unescape(re.sub(r"<[^>]*>", "", cell)) for cell in row] for row in rows])
    return found


def named(text: str, first: str) -> list[list[str]]:
    """Return the rows under the head of the one table whose first head begins so."""
    (table,) = [table for table in tables(text) if table[0][0].startswith(first)]
    return table


def shown(money: str) -> str:
    return rounded(money).replace("-", "\u2212")


def test_it_is_small_enough_and_fetches_nothing(text: str) -> None:
    reader = Reader(text)
    assert 4_000_000 < len(text.encode()) <= BYTES_MAX
    assert reader.fetched == [] and "default-src 'none'" in text
    own = text.replace(max(reader.scripts, key=len), "")
    assert not [word for word in ("http://", "https://", "url(", "@import") if word in own]


def test_its_last_act_is_the_title(done: pairing.Done, text: str) -> None:
    script = Reader(text).scripts[-1]
    assert script.endswith(f"document.title = {html._json(done.answer.title + ': replay')}; }});")
    assert "<title>drawing</title>" in text


def test_every_section_is_there_once_and_in_its_order(text: str, drawn: dict[str, dict]) -> None:
    assert tuple(headings(text)) == SECTIONS
    assert list(drawn) == ["timeline", "losses", "stages", "waterfall-0", "waterfall-1", "waterfall-2"]
    assert set(drawn) <= set(Reader(text).ids)


# ---- figures of the page are those of the answer


def test_the_answer_that_was_written_is_the_one_that_was_drawn(done: pairing.Done) -> None:
    written = json.loads((Path(done.answer.run_folder) / "run.json").read_text(encoding="utf-8"))
    assert PairResult.model_validate(written) == done.answer
    files = {path.name for path in Path(done.answer.run_folder).iterdir()}
    outcomes = {f"outcomes-{name}.parquet" for name in done.ran}
    assert files == {"run.json", "accounts.parquet", "series.parquet", "report.html"} | outcomes and len(outcomes) == 4


def test_headlines(done: pairing.Done, text: str) -> None:
    answer = done.answer
    users = next(row for row in answer.losses.common if row.name == "users")
    cards = re.findall(r'<div class="card".*?<b>(.*?)</b>', text)
    last, direct = answer.runs[-1], next(row for row in answer.causes if row.cause == "direct")
    money = [users.A, users.B, users.interaction, last.forced_notional, direct.notional]
    assert len({shown(figure) for figure in money}) == 5, "five figures that differ"
    a, b, more, closed, of_it = (f"{shown(figure)} {answer.numeraire}" for figure in money)
    assert cards == [a, b, more, f"\u2212{last.lows[0].fall:.1%}", closed, of_it, "one twin"]


def test_the_table_of_runs_and_that_of_lows(done: pairing.Done, text: str) -> None:
    table, lows = [table for table in tables(text) if table[0][0] == "run" and table[1][0] == "none"][:2]
    for row, cells, low in zip(done.answer.runs, table[1:], lows[1:], strict=True):
        assert cells[:3] == [row.name, ", ".join(row.faults) or "none", "yes" if row.ignited else "no"]
        counts = [f"{n:,}" for n in (row.liquidations, row.accounts_closed, row.forced_lots)]
        assert cells[4:8] == [*counts, shown(row.forced_notional)]
        assert [float(cell.split()[0].replace(",", "")) for cell in low[1:]] == pytest.approx(
            [float(each.price) for each in row.lows], rel=1e-5
        )
        assert [cell.split()[-1] for cell in low[1:]] == [each.at[11:19] for each in row.lows]
    assert table[3][3] == "21:36:01" and table[2][3] == "\u2013"


@pytest.mark.parametrize(
    ("first", "field"),
    [
        ("Losses at common prices", "common"),
        ("Losses at each run's own prices", "own"),
        ("Lost while being liquidated", "liquidated"),
        ("Notional closed", "closes"),
        ("Flows", "flows"),
    ],
)
def test_a_table_of_losses_is_that_of_the_answer(done: pairing.Done, text: str, first: str, field: str) -> None:
    rows, (heads, *cells) = getattr(done.answer.losses, field), named(text, first)
    assert heads[1:] == list(FIELDS)
    assert [row[1:] for row in cells] == [[shown(getattr(row, FIELDS[name])) for name in FIELDS] for row in rows]
    assert len({cell for row in cells for cell in row[1:]}) > 4, "figures that differ"


@pytest.mark.parametrize(
    ("chart", "axis", "field"),
    [("losses", "y", "common"), ("losses", "y2", "own"), ("stages", "y", "liquidated"), ("stages", "y2", "closes")],
)
def test_bars_are_a_b_and_the_interaction_and_their_sum_is_marked(done: pairing.Done, drawn, chart, axis, field) -> None:
    rows = getattr(done.answer.losses, field)
    traces = {trace["name"]: trace for trace in drawn[chart]["data"] if trace["yaxis"] == axis}
    assert list(traces) == list(FIELDS)
    for name, trace in traces.items():
        assert trace["y"] == [float(getattr(row, FIELDS[name])) for row in rows]
        assert trace["type"] == ("scatter" if name == "A+B" else "bar")
    sums = np.sum([traces[name]["y"] for name in decomposition.BARS], axis=0)
    assert sums == pytest.approx(traces["A+B"]["y"], abs=1e-6)
    assert drawn[chart]["layout"]["barmode"] == "relative"
    assert sum(trace["showlegend"] for trace in drawn[chart]["data"]) == len(FIELDS), "one legend for both panels"


def test_the_two_panels_of_losses_have_one_scale(drawn: dict[str, dict]) -> None:
    assert drawn["losses"]["layout"]["yaxis2"]["matches"] == "y" and "matches" not in drawn["stages"]["layout"]["yaxis2"]
    for chart in ("losses", "stages"):
        (_, left), (right, end) = (drawn[chart]["layout"][axis]["domain"] for axis in ("xaxis", "xaxis2"))
        assert left < right < end == pytest.approx(1)


def test_what_liquidated_accounts_lost_is_what_their_waterfalls_say(done: pairing.Done, drawn: dict[str, dict]) -> None:
    """In every run margin - kept is the sum of the losses by cause, and the bars go from the one to the other."""
    answer = done.answer
    falls = {fall.run: fall for fall in answer.waterfall}
    assert list(falls) == ["none", "A", "B", "A+B"] and falls["none"].accounts == 0
    for k, run in enumerate(("A", "B", "A+B")):
        fall, field = falls[run], FIELDS[run]
        lost = sum(units.decimal_to_int(getattr(row, field), 20) for row in answer.losses.liquidated)
        assert lost == units.decimal_to_int(fall.margin, 20) - units.decimal_to_int(fall.kept, 20)
        assert fall.accounts == next(row for row in answer.runs if row.name == run).accounts_closed
        (bars,) = drawn[f"waterfall-{k}"]["data"]
        assert (bars["y"][0], bars["y"][-1]) == (float(fall.margin), float(fall.kept))
        assert drawn[f"waterfall-{k}"]["layout"]["title"]["text"].endswith(f", run {run}")
    names = [row.name for row in answer.losses.liquidated]
    assert {"book", "takeover", "adl", "treasury", "fund_draw", "bad_debt"} <= set(names)
    assert names == [cause.value for cause in LossCause if cause.value in names]


def test_gains_are_those_of_the_answer_and_sum_to_nothing(done: pairing.Done, text: str) -> None:
    assert len(done.answer.gains) == 4
    for gains in done.answer.gains:
        heads, *rows, last = named(text, f"from {gains.earlier} to {gains.later},")
        assert heads[1:] == ["accounts", "in USDT", "in USDE", "gain"] or heads[1:] == ["accounts", "in USDE", "in USDT", "gain"]
        assert [row[0] for row in rows] == [row.holder.replace("_", " ") for row in gains.rows]
        assets = [head.removeprefix("in ") for head in heads[2:-1]]
        assert [row[2:] for row in rows] == [
            [*(shown(row.by_asset.get(asset, "0")) for asset in assets), shown(row.gain)] for row in gains.rows
        ]
        assert last[0] == "sum" and last[2:] == ["0"] * 3
        assert last[1] == f"{sum(row.accounts for row in gains.rows):,}"


def test_a_sum_that_is_not_nothing_is_shown(done: pairing.Done) -> None:
    """The sum is added up, not written down."""
    (first, *others), gains = done.answer.gains[0].rows, done.answer.gains
    wrong = first.model_copy(update={"gain": str(int(first.gain.split(".")[0]) + 7)})
    answer = done.answer.model_copy(update={"gains": [gains[0].model_copy(update={"rows": [wrong, *others]}), *gains[1:]]})
    assert named(render(replace(done, answer=answer), series(done)), "from none to A,")[-1][-1] != "0"


def test_labels_and_causes_are_those_of_the_answer(done: pairing.Done, text: str) -> None:
    answer, labels = done.answer, next(table for table in tables(text) if table[1][0] == "label")
    assert [head.partition(" (")[0] for head in labels[0][1:]] == list(answer.labels) and len(labels[0]) == 5
    for cells in labels[2:]:
        label = next(label for label in Label if charts.WORDS[label] == cells[0])
        totals = [getattr(row, label.name.lower()) for row in answer.labels.values()]
        assert cells[1:] == [f for row in totals for f in (f"{row.lots:,}", shown(row.notional), f"{row.accounts:,}")]
    _, *causes = named(text, "cause")
    assert causes == [
        [
            row.cause,
            f"{row.lots:,}",
            shown(row.notional),
            f"{row.accounts:,}",
            f"{row.by_collateral_lots:,}",
            f"{row.by_mark_lots:,}",
        ]
        for row in answer.causes
    ]
    assert f"{answer.triggers:,} triggers" in words(text)


def test_labels_name_what_they_compare(done: pairing.Done, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "A against none (the day without any event)" in words(text) and "A+B against A (the day with A alone)" in words(text)
    pair_tables.show(done)
    said = capsys.readouterr().out
    assert "from none to A: sums to 0 (erroneous: closed in A, not in none)" in said


def test_what_must_be_said_is_there(done: pairing.Done, text: str) -> None:
    said, answer = words(text), done.answer
    lines = [answer.token, answer.base_tape, *answer.unknowns, *(row.digest for row in answer.runs)]
    lines += [note.why for note in answer.assumed] + [row.note for row in answer.series]
    lines += [*answer.common_prices.values(), *answer.versions.values(), "Not compared (--lockstep 0)"]
    assert [line for line in lines if " ".join(line.split()) not in said] == []
    assert "Fault own-book acts from 21:20:00 to 22:16:01." in said


def test_words_of_others_cannot_become_markup(done: pairing.Done) -> None:
    evil = '</script><script>alert("x")</script><img src=x onerror=alert(1)>'
    answer = done.answer.model_copy(update={"title": evil, "token": evil, "unknowns": [evil], "common_prices": {evil: "1"}})
    attacked = Reader(render(replace(done, answer=answer), series(done)))
    assert len(attacked.scripts) == 2 and attacked.fetched == []
    assert attacked.scripts[-1].endswith("document.title = " + html._json(f"{evil}: replay") + "; });")


# ---- the timeline


def lanes_of(figure: dict, axis: str) -> dict[str, dict]:
    return {trace["name"]: trace for trace in figure["data"] if trace["yaxis"] == axis and trace["name"] != "nothing"}


def lots_in(lane: dict | None) -> int:
    return sum(int(said.split()[0].replace(",", "")) for said in lane["text"]) if lane else 0


def test_one_time_axis_with_both_windows_shaded(drawn: dict[str, dict]) -> None:
    layout = drawn["timeline"]["layout"]
    assert [axis for axis in layout if axis.startswith("xaxis")] == ["xaxis"]
    assert layout["xaxis"]["range"] == ["2025-10-10T20:40:00", "2025-10-10T22:16:00"]
    a, b = layout["shapes"]
    assert (a["x0"], a["x1"]) == ("2025-10-10T20:50:00", "2025-10-10T21:30:00")
    assert (b["x0"], b["x1"]) == ("2025-10-10T21:36:00", "2025-10-10T22:16:00") and a["fillcolor"] != b["fillcolor"]
    titles = [note["text"] for note in layout["annotations"]]
    assert titles[:6] == [
        "A: the fall",
        "B: the collateral index",
        "BTCUSDT by run",
        "BTCUSDT in run A+B",
        "Collateral USDE by run",
        "Closed by force so far, by run",
    ]
    assert [title.partition(", 15 s")[0] for title in titles[6:]] == [
        "Forced closes by run",
        "Forced closes of A+B by label, against A",
        "Forced closes of A+B by cause",
    ]
    assert min(t for trace in drawn["timeline"]["data"] for t in trace["x"]) >= "2025-10-10T20:40:00"


def test_every_price_of_every_run_has_a_line_or_shares_one(done: pairing.Done, drawn: dict[str, dict]) -> None:
    names = {
        axis: [trace["name"] for trace in drawn["timeline"]["data"] if trace["yaxis"] == axis] for axis in ("y", "y2", "y3", "y4")
    }
    for what in ("mark", "index", "last", "outside:BTCUSDT"):
        told = [name for name in names["y"] if what in name]
        assert all(any(run in re.split(", |: ", name) for name in told) for run in done.ran), f"{what} of every run"
    assert names["y2"] == ["index, published", "outside:BTCUSDT (synthetic)", "mark BTCUSDT", "last BTCUSDT"]
    assert names["y3"] == [
        "index = collateral USDE, none, A",
        "index = collateral USDE, B, A+B",
        "recorded:USDEUSDT (recorded): what B lets in",
        "uniswap-v3:USDEUSDT (recorded): true",
    ]
    assert names["y4"] == list(done.ran)
    clicked = [trace["name"] for trace in drawn["timeline"]["data"] if trace.get("visible") == "legendonly"]
    assert clicked and all(name.startswith(("index", "last")) and name.endswith(": click") for name in clicked)


def test_the_collateral_falls_on_the_chart_as_it_did(drawn: dict[str, dict]) -> None:
    lines = lanes_of(drawn["timeline"], "y3")
    broken, fair = lines["index = collateral USDE, B, A+B"], lines["index = collateral USDE, none, A"]
    assert min(broken["y"]) == min(lines["recorded:USDEUSDT (recorded): what B lets in"]["y"]) == 0.6651
    assert min(fair["y"]) > 0.99


def test_what_was_closed_so_far_ends_at_what_was_closed(done: pairing.Done, drawn: dict[str, dict]) -> None:
    lines = lanes_of(drawn["timeline"], "y4")
    for row in done.answer.runs:
        assert (lines[row.name]["y"][0], lines[row.name]["y"][-1]) == (0, pytest.approx(float(row.forced_notional)))
        assert lines[row.name]["line"]["color"] == COLOURS[row.name]


def test_the_points_of_the_lanes_add_up(done: pairing.Done, drawn: dict[str, dict]) -> None:
    answer, figure = done.answer, drawn["timeline"]
    by_run, by_label, by_cause = (lanes_of(figure, axis) for axis in ("y5", "y6", "y7"))
    assert {row.name: lots_in(by_run.get(row.name)) for row in answer.runs} == {row.name: row.forced_lots for row in answer.runs}
    totals = answer.labels["A+B against A"]
    for label in (Label.ERRONEOUS, Label.PREMATURE, Label.LATE, Label.MISSED, Label.ORGANIC):
        assert lots_in(by_label.get(charts.WORDS[label])) == getattr(totals, label.name.lower()).lots
    assert {row.cause: lots_in(by_cause.get(row.cause)) for row in answer.causes} == {
        row.cause: row.lots for row in answer.causes
    }
    assert totals.erroneous.lots and totals.organic.lots and answer.causes[0].lots
    assert figure["layout"]["yaxis5"]["ticktext"] == ["A+B", "B", "A"]
    assert set(pair_timeline.CAUSES) == set(Cause)


def test_equal_series_share_a_line_and_their_names() -> None:
    def prices(*values: int, places: int = 0):
        times = np.arange(len(values)) * units.NS
        return times, np.array(values), np.full(len(values), Grade.VALID, dtype=np.uint8), places

    one, same, other = prices(1, 2), prices(10, 20, places=1), prices(1, 3)
    names = ["none", "A", "B"]
    told = [("index", "none", one), ("mark", "none", same), ("index", "A", same), ("mark", "A", other), ("index", "B", other)]
    found = [(line, mine) for line, mine, _ in pair_timeline.by_run(told, names)]
    assert found == [("index, none, A; mark, none", ["none", "A"]), ("mark, A; index, B", ["A", "B"])]
    every = pair_timeline.by_run([(what, run, one) for what in ("a", "b") for run in names], names)
    assert [line for line, _, _ in every] == ["a = b, every run"]


def test_a_line_begins_with_what_was_in_force() -> None:
    columns = np.array([0, 5, 9]), np.array([10, 50, 90]), np.zeros(3, dtype=np.uint8), 0
    for from_ns, times, prices in ((0, [0, 5, 9], [10, 50, 90]), (6, [6, 9], [50, 90]), (9, [9], [90]), (20, [20], [90])):
        found = pair_timeline.since(columns, from_ns)
        assert (found[0].tolist(), found[1].tolist(), len(found[2])) == (times, prices, len(times))
    nothing = tuple(column[:0] for column in columns[:3])
    assert len(pair_timeline.since((*nothing, 0), 7)[0]) == 0


def test_every_cause_and_every_run_has_words_and_a_colour() -> None:
    assert {*pairing.RUNS, "interaction"} == set(COLOURS) and len(set(COLOURS.values())) == len(COLOURS)
    assert set(decomposition.BARS) | {"A+B"} == set(FIELDS) == set(COLOURS) - {"none"}
    assert set(waterfall.SHORT) == set(LossCause)


# ---- empty cases


def test_a_alone_has_a_report(small, tmp_path: Path) -> None:
    alone = small("2025-10-10-A-macro-cascade", tmp_path)
    text = page(alone)
    drawn = figures(text)
    assert headings(text) == [
        "What A cost" if name.startswith("What A cost") else name for name in SECTIONS if name != "Why lots were closed in A+B"
    ]
    assert list(drawn) == ["timeline", "losses", "stages", "waterfall-0"]
    assert [trace["name"] for chart in ("losses", "stages") for trace in drawn[chart]["data"]] == ["A"] * 4
    assert named(text, "Losses at common prices")[0][1:] == ["A"]
    assert (
        len(drawn["timeline"]["layout"]["shapes"]) == 1 and "interaction" not in words(text).lower().partition("what this run")[0]
    )
    assert lots_in(lanes_of(drawn["timeline"], "y5")["A"]) == alone.answer.runs[1].forced_lots > 0


def test_a_pair_without_a_forced_close_has_a_report(small, done: pairing.Done, tmp_path: Path) -> None:
    faults = tuple(done.answer.runs[-1].faults)
    nobody = small("2025-10-10", tmp_path, no_fault=faults)
    text = page(nobody)
    drawn = figures(text)
    assert tuple(headings(text)) == SECTIONS and list(drawn) == ["timeline", "losses", "stages"]
    assert all(row.forced_lots == 0 for row in nobody.answer.runs)
    titles = [note["text"] for note in drawn["timeline"]["layout"]["annotations"]]
    assert titles[-3:] == ["No forced close"] * 3
    assert "Nobody was liquidated, in no run." in words(text) and "Notional closed, by stage: none." in words(text)
    assert [note["text"] for note in drawn["stages"]["layout"]["annotations"]][1] == "Notional closed, by stage: none"
    assert "mark, every run" in [trace["name"] for trace in drawn["timeline"]["data"]]
    assert Waterfall.model_validate(nobody.answer.waterfall[-1]).accounts == 0


def test_twins_that_were_compared_are_told(done: pairing.Done) -> None:
    twins = done.answer.twins.model_copy(update={"equal": True, "events": 1_234, "accounts": 56, "every": 7, "runs": ["A+B"]})
    text = words(render(replace(done, answer=done.answer.model_copy(update={"twins": twins})), series(done)))
    assert "the same 1,234 events of every 7th group of accounts, 56 accounts (A+B): equal" in text
    assert "at the end of each run. The first difference" in text and "twins equal" in text


@pytest.mark.parametrize("report", [True, False])
def test_the_command_says_where_the_report_is(done: pairing.Done, capsys: pytest.CaptureFixture[str], report: bool) -> None:
    options = replace(done.inputs.options, report=report)
    pair_tables.show(replace(done, inputs=replace(done.inputs, options=options)))
    folder = done.answer.run_folder
    lines = capsys.readouterr().out.splitlines()
    assert f"Run folder: {folder}" in lines and (f"Report: {folder}/report.html" in lines) is report


def test_no_report_leaves_it_out(small, tmp_path: Path) -> None:
    left = small("2025-10-10-A-macro-cascade", tmp_path, report=False)
    assert {path.name for path in Path(left.answer.run_folder).iterdir()} == {
        "run.json",
        "accounts.parquet",
        "series.parquet",
        "outcomes-none.parquet",
        "outcomes-A.parquet",
    }


def test_every_run_leaves_its_outcomes(done: pairing.Done, capsys: pytest.CaptureFixture[str]) -> None:
    for name, ran in done.ran.items():
        table = parquet.read_table(Path(done.answer.run_folder) / f"outcomes-{name}.parquet")
        assert table.num_rows == ran.count == len(ran.outcomes)
        assert table["event"].to_numpy().tolist() == ran.outcomes["event"].tolist()
    pair_tables.show(done)
    assert "Outcomes: outcomes-RUN.parquet of each run: none, A, B, A+B" in capsys.readouterr().out.splitlines()


@pytest.mark.long
def test_laws_and_twins_are_told_in_text_json_and_on_the_page(
    small, done: pairing.Done, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    between = ["none to A", "none to B", "A to A+B", "none to A+B"]
    assert [(law.name, law.on) for law in done.answer.run_laws] == [("L2", ["none", "A", "B", "A+B"]), ("L20", between)]
    assert not done.answer.laws.rows
    pair_tables.show(done)
    lines = capsys.readouterr().out.splitlines()
    assert f"Laws of whole runs hold: L2 (none, A, B, A+B); L20 ({', '.join(between)})." in lines
    assert "Twins not compared (--lockstep 0)." in lines and "Laws on a sample not checked (--lockstep 0)." in lines
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pairing, "pair_tape", functools.partial(pair_tape, share_ppm=3_000))
        sampled = pairing.replay(Options(incident="2025-10-10", lockstep=2, out=tmp_path))
    answer = sampled.answer
    assert answer.twins.equal and answer.laws.events > 0 and not answer.laws.broken
    assert {law.name for law in answer.laws.rows if law.events} >= {"L1", "L2", "L12", "L19"}
    pair_tables.show(sampled)
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith(f"Twins equal on {answer.twins.events:,} events with") for line in lines)
    assert any(line.startswith("Laws hold: ") for line in lines)
    text = page(sampled)
    assert {law.name for law in answer.laws.rows} == {row[0] for row in named(text, "law")[1:]}
    assert "(L2). Checked between runs (none to A" in words(text)
