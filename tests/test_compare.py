"""Two rule books or two plans on one tape: lists as brute force finds them, mirror, sums, L20, where runs part, bad input."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from decimal import Decimal
from html.parser import HTMLParser
from multiprocessing import get_context
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow.parquet as pq
import pytest
from ruamel.yaml import YAML

from fuzz.overlay import overlay
from fuzz.strategies import sample
from riskbed import books, comparison, jobs, replay, sums
from riskbed import compare as comparing
from riskbed.compare import Compared, Options, compare
from riskbed.divergence import event_words, outcome_words
from specs import load, parquet, units
from specs.errors import LawBroken, SpecError, TapeError
from specs.faults import Plan
from specs.model.exchange import Exchange
from specs.rules import At, Venue
from specs.tape import EVENT, OUTCOME, USERS_FROM, Chart, EventKind, Flag, Flow, OutcomeKind, Side, Stage, Tape, money_join

ROOT = Path(__file__).resolve().parent.parent
INCIDENT, BOOK = "2025-10-10-binance-usde", "binance-um-2025-10-10"
EVERY = 50  # of 10,000 pairs: what the model can run in some seconds
CUT_PPM = 400  # maintenance of the first bracket; 4,000 in the rule book


# ---- inputs


def book_tree() -> dict:
    return YAML(typ="safe", pure=True).load(load.read_text(load.find("venue", BOOK)))


def write_book(path: Path, change) -> Path:
    """Write the packaged rule book with something changed in its tree."""
    tree = book_tree()
    change(tree)
    with path.open("w", encoding="utf-8") as file:
        YAML().dump(tree, file)
    return path


def first_bracket(maintenance_ppm: int):
    """Return the change of one bracket row; the amounts of those above it follow, for maintenance has no jumps."""

    def change(tree: dict) -> None:
        rows = tree["markets"][0]["brackets"]
        rows[0]["maintenance_ppm"] = maintenance_ppm
        for below, row in zip(rows, rows[1:], strict=False):
            jump = below["notional_max"] * (row["maintenance_ppm"] - below["maintenance_ppm"])
            assert jump % units.PPM == 0
            row["amount"] = below["amount"] + jump // units.PPM

    return change


def write_plan(path: Path, *faults: str) -> Path:
    rows = "".join(f"  - {{{row}}}\n" for row in faults)
    path.write_text(f"schema_version: 1\nname: {path.stem}\nfaults:" + (f"\n{rows}" if faults else " []\n"))
    return path


WINDOW = 'from: "2025-10-10T21:11:00Z", to: "2025-10-10T21:14:00Z"'
CRASH = f'id: crash, kind: spike, source: "binance-spot:USDEUSDT", {WINDOW}, magnitude_ppm: -990_000'
SILENCE = f'id: silence, kind: drop, source: "{{}}", {WINDOW}'


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rule books, plans and tapes to compare."""
    path = tmp_path_factory.mktemp("compare")
    write_book(path / "cut.yaml", first_bracket(CUT_PPM))
    write_plan(path / "none.yaml")
    write_plan(path / "crash.yaml", CRASH)
    base = replay.read_inputs(replay.Options(incident=INCIDENT, lockstep=0))
    base.tape.thin(EVERY).write(path / "thin.parquet")
    small = base.tape.thin(250)
    small.slice(small.meta.start_ns, small.meta.start_ns + 1_800 * units.NS).write(path / "small.parquet")
    return path


def compared(folder: Path, a: str, b: str, tape: str = "small.parquet", **changes) -> Compared:
    a, b = (str(folder / name) if name.endswith(".yaml") else name for name in (a, b))
    return compare(Options(a, b, tape=folder / tape, out=folder / "runs", **({"report": False} | changes)))


@pytest.fixture(scope="module")
def thin(folder: Path) -> Compared:
    return compared(folder, BOOK, "cut.yaml", "thin.parquet", report=True)


def model_run(text: str, name: str, tape_path: Path) -> tuple[bytes, dict]:
    """Run the model over a tape up to its horizon; return outcomes and state."""
    venue, tape = load.load_text(text, Venue, name), Tape.read(tape_path)
    exchange = Exchange(venue, tape.meta.start_ns)
    exchange.run(tape.events[tape.events["time_ns"] <= tape.meta.horizon_ns])
    return exchange.outcomes().tobytes(), exchange.state()


@pytest.fixture(scope="module")
def model(folder: Path) -> list[tuple[np.ndarray, dict]]:
    """The model's two runs of the thinned tape, in processes of their own."""
    books = [load.find("venue", BOOK), folder / "cut.yaml"]
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        futures = [pool.submit(model_run, book.read_text(), book.name, folder / "thin.parquet") for book in books]
        return [(np.frombuffer(packed, dtype=OUTCOME), state) for packed, state in (future.result() for future in futures)]


# ---- against brute force on the model


def rows_of(outcomes: np.ndarray, *names: str) -> Iterator[tuple[int, ...]]:
    return zip(*(outcomes[name].tolist() for name in names), strict=True)


def closed_by_force(outcomes: np.ndarray) -> dict[int, int]:
    """Return account -> lots closed by force, for every account that was liquidated: one outcome after another."""
    found: dict[int, int] = {}
    for kind, stage, account, lots in rows_of(outcomes, "kind", "stage", "account", "qty"):
        if kind == OutcomeKind.LIQUIDATION:
            found.setdefault(account, 0)
        if kind == OutcomeKind.TAKEOVER or (kind == OutcomeKind.FILL and stage == Stage.BOOK):
            found[account] += lots
    return found


@pytest.mark.long
def test_one_changed_bracket_row_lists_exactly_the_accounts_that_the_model_finds(thin: Compared, model: list) -> None:
    a, b = (closed_by_force(outcomes) for outcomes, _ in model)
    rows = {row.account: row for row in thin.answer.accounts}
    listed = {status: {n for n, row in rows.items() if row.status == status} for status in ("hurt", "spared", "both", "changed")}
    assert listed["spared"] == set(a) - set(b) and listed["spared"], "the tape must show a difference"
    assert listed["hurt"] == set(b) - set(a)
    assert listed["both"] <= set(a) & set(b) and not listed["changed"] & (set(a) | set(b))
    assert {n: row.lots.a for n, row in rows.items() if row.lots.a} == {n: lots for n, lots in a.items() if lots and n in rows}
    assert {n: row.lots.b for n, row in rows.items() if row.lots.b} == {n: lots for n, lots in b.items() if lots and n in rows}
    totals = thin.answer.totals
    assert (totals.liquidated.a, totals.liquidated.b) == (len(a), len(b))
    assert (totals.newly_liquidated, totals.no_longer_liquidated) == (len(set(b) - set(a)), len(set(a) - set(b)))
    assert (totals.lots.a, totals.lots.b) == (sum(a.values()), sum(b.values()))


def in_whole(money: int) -> str:
    return units.int_to_decimal(money, 8)


def by_hand(outcomes: np.ndarray, state: dict) -> tuple[dict[int, int], dict[int, dict]]:
    """Return each user's equity, positions at the last mark and collateral in full, and its flows but the cash of trades."""
    mark, usde = state["marks"][0][5] * 10**4, state["collateral"][0][5]
    worth = {row[0]: 0 for row in state["accounts"]}
    flows: dict[int, dict] = {n: {} for n in worth}
    for n, asset, balance in state["balances"]:
        if n >= USERS_FROM:
            worth[n] += balance if asset == 0 else balance * usde // 10**8
    for n, _, _, lots, _ in state["positions"]:
        if n >= USERS_FROM:
            worth[n] += lots * mark
    fields = ("kind", "account", "other", "flow", "asset", "money_lo", "money_hi")
    for kind, account, other, flow, asset, lo, hi in rows_of(outcomes, *fields):
        fill = kind == OutcomeKind.FILL
        if not fill and kind not in (OutcomeKind.FLOW, OutcomeKind.CONVERT):
            continue
        money = money_join(lo, hi)
        key = "FEE" if fill else Flow(flow).name, asset
        for n, sign in ((account, -1), (Chart.FEES if fill else other, 1)):
            if n >= USERS_FROM and money:
                flows[n][key] = flows[n].get(key, 0) + sign * money
    return worth, flows


@pytest.mark.long
def test_equity_paid_and_the_fund_are_the_models(thin: Compared, model: list) -> None:
    """By hand: positions at the last mark, collateral in full; an account is listed if and only if any of it differs."""
    venue = thin.inputs.venues[0]
    assert venue.multiplier(venue.markets[0]) == 10**4
    (worth_a, flows_a), (worth_b, flows_b) = (by_hand(outcomes, state) for outcomes, state in model)
    rows = {row.account: row for row in thin.answer.accounts}
    for n in worth_a:
        if n not in rows:
            assert (worth_a[n], flows_a[n]) == (worth_b[n], flows_b[n])
            continue
        assert (rows[n].equity.a, rows[n].equity.b) == (in_whole(worth_a[n]), in_whole(worth_b[n]))
        assert {(row.flow, row.asset): (row.a, row.b) for row in rows[n].paid} == {
            (flow, venue.assets[asset].name): (
                in_whole(flows_a[n].get((flow, asset), 0)),
                in_whole(flows_b[n].get((flow, asset), 0)),
            )
            for flow, asset in {*flows_a[n], *flows_b[n]}
            if flows_a[n].get((flow, asset), 0) != flows_b[n].get((flow, asset), 0)
        }
    fund = [next(x for n, asset, x in state["balances"] if (n, asset) == (Chart.FUND, 0)) for _, state in model]
    assert [thin.answer.totals.fund.a, thin.answer.totals.fund.b] == [in_whole(x) for x in fund]


# ---- A == B, and the mirror


def test_a_rule_book_against_itself_differs_in_nothing(folder: Path) -> None:
    found = compared(folder, BOOK, BOOK).answer
    assert found.same and found.accounts == [] and found.rows == [] and found.first_divergence is None
    assert found.a.digest == found.b.digest and found.totals.alike == found.totals.accounts > 0
    assert found.totals.hurt == found.totals.spared == found.totals.both == found.totals.changed == 0
    for row in pairs(found.totals):
        assert row.a == row.b and Decimal(row.difference) == 0


def pairs(part) -> list:
    """Return everything in a part of the answer that has an A, a B and a difference."""
    found = []
    for name in type(part).model_fields:
        value = getattr(part, name)
        for row in value if isinstance(value, list) else [value]:
            if hasattr(row, "difference"):
                found.append(row)
    return found


def test_a_difference_is_b_less_a(thin: Compared) -> None:
    rows = pairs(thin.answer.totals) + [pair for row in thin.answer.accounts for pair in (*pairs(row), *row.paid)]
    assert len(rows) > 100 and any(Decimal(row.difference) for row in rows)
    for row in rows:
        assert Decimal(row.difference) == Decimal(row.b) - Decimal(row.a)


def test_swapping_a_and_b_mirrors_the_answer(folder: Path, thin: Compared) -> None:
    one, other = thin.answer, compared(folder, "cut.yaml", BOOK, "thin.parquet").answer
    assert other.totals.hurt == one.totals.spared > 0 and other.totals.spared == one.totals.hurt
    assert (other.a.digest, other.b.digest) == (one.b.digest, one.a.digest)
    for mine, theirs in zip(pairs(one.totals), pairs(other.totals), strict=True):
        assert (theirs.a, theirs.b, Decimal(theirs.difference)) == (mine.b, mine.a, -Decimal(mine.difference))
    word = {"hurt": "spared", "spared": "hurt", "both": "both", "changed": "changed"}
    assert [(row.account, row.status) for row in other.accounts] == [(row.account, word[row.status]) for row in one.accounts]
    for mine, theirs in zip(one.accounts, other.accounts, strict=True):
        assert [(x.a, x.b) for x in pairs(theirs)] == [(x.b, x.a) for x in pairs(mine)]
    here, there = one.first_divergence, other.first_divergence
    assert (there.event, there.time, there.what) == (here.event, here.time, here.what)
    assert (there.a, there.b) == (here.b, here.a)
    assert {row.account: (row.a, row.b) for row in there.accounts} == {row.account: (row.b, row.a) for row in here.accounts}
    assert [[(point.time, point.b, point.a) for point in row.points] for row in other.paths] == [
        [(point.time, point.a, point.b) for point in row.points] for row in one.paths
    ]


# ---- sums


def test_totals_are_the_sums_over_accounts(thin: Compared) -> None:
    totals, folder = thin.answer.totals, Path(thin.answer.run_folder)
    table = pq.read_table(folder / "accounts.parquet").to_pylist()
    for i, run in enumerate("ab"):
        ours = [row for row in table if row["run"] == run]
        assert len(ours) == totals.accounts == len({row["account"] for row in ours})
        for name in ("episodes", "lots", "adl_lots"):
            assert sum(row[name] for row in ours) == getattr(getattr(totals, name), run)
        for name in ("notional", "adl_notional", "equity"):
            assert sum(row[name] for row in ours) == Decimal(getattr(getattr(totals, name), run))
        for flow in totals.paid:
            assert sum(row[f"{flow.flow.lower()}_{flow.asset}"] for row in ours) == Decimal(getattr(flow, run))
        for name in ("hurt", "spared", "both", "changed", "alike"):
            assert [row["status"] for row in ours].count(name) == getattr(totals, name)
        assert i or totals.lots.a > 0
    for name in ("notional", "adl_notional", "equity", "lots", "adl_lots", "episodes"):
        listed = sum(Decimal(getattr(row, name).difference) for row in thin.answer.accounts)
        assert listed == Decimal(getattr(totals, name).difference), "who is not listed does not differ"
    assert totals.accounts == totals.alike + totals.hurt + totals.spared + totals.both + totals.changed


def test_flows_explain_every_balance_and_open_interest_on_sampled_tapes() -> None:
    """The tables of riskbed/sums.py are complete: no flow is unnamed, paths end where the state does."""
    seen: set[str] = set()
    for case in sample(60, seed=21):
        exchange = jobs.exchange_of("engine")(case.venue, case.start_ns, case.seams)
        exchange.run(case.events)
        outcomes, state = exchange.outcomes(), exchange.state()
        found = sums.account_sums(outcomes, case.venue, state)
        flows = {flow for row in found.values() for flow, _ in row.flows}
        assert sums.UNNAMED not in flows
        seen |= flows
        ends = {row.name: row.value[-1] for row in sums.paths(outcomes, case.venue, case.start_ns)}
        fund = sum(x for n, asset, x in state["balances"] if (n, asset) == (Chart.FUND, exchange_numeraire(case.venue)))
        assert ends["fund"] == fund
        for market, row in sums.perpetuals(case.venue):
            assert ends[f"open_interest {row.name}"] == sums.open_interest(state, market)
    assert {"TRADE", "FEE", "TAKEOVER", "CONVERT_ASSET", "CONVERT_CASH", "FUND_PAYMENT", "WRITE_OFF", "LIQUIDATION_FEE"} <= seen


def exchange_numeraire(venue: Venue) -> int:
    return venue.number("assets", venue.numeraire)


def test_open_interest_over_time_is_that_of_the_positions() -> None:
    """The path against positions kept by hand, outcome by outcome."""
    longest = 0
    for case in sample(40, seed=5):
        exchange = jobs.exchange_of("engine")(case.venue, case.start_ns, case.seams)
        exchange.run(case.events)
        outcomes = exchange.outcomes()
        held: dict[tuple[int, int], int] = {}
        by_hand: dict[int, dict[int, int]] = {}  # market -> time -> lots held long after all of that time
        kinds = [OutcomeKind.FILL, OutcomeKind.BUSTED, OutcomeKind.TAKEOVER, OutcomeKind.ADL, OutcomeKind.MOVED]
        kinds.append(OutcomeKind.SETTLED)
        moves = np.isin(outcomes["kind"], kinds)
        spot = [number for number, row in enumerate(case.venue.markets) if row.spot]
        for o in outcomes[moves & ~np.isin(outcomes["market"], spot)]:
            sign = (1 if o["side"] == Side.BUY else -1) * (1 if o["kind"] == OutcomeKind.FILL else -1)
            market = int(o["market"])
            for n, way in ((int(o["account"]), sign), (int(o["other"]), -sign)):
                held[n, market] = held.get((n, market), 0) + way * int(o["qty"])
            long = sum(x for (_, m), x in held.items() if m == market and x > 0)
            by_hand.setdefault(market, {})[int(o["time_ns"])] = long
        paths = {row.name: row for row in sums.paths(outcomes, case.venue, case.start_ns)}
        for market, values in by_hand.items():
            path = paths[f"open_interest {case.venue.markets[market].name}"]
            for time_ns, long in values.items():
                assert path.value[np.searchsorted(path.time_ns, time_ns, side="right") - 1] == long
            longest = max(longest, len(path.value))
    assert longest > 10


def test_what_no_table_names_is_shown_and_said(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sums, "CASH", {name: row for name, row in sums.CASH.items() if name != "FLOW"})
    found = compared(folder, BOOK, "cut.yaml", plan=str(folder / "crash.yaml")).answer
    unnamed = [row for row in found.totals.paid if row.flow == sums.UNNAMED]
    assert unnamed and any(Decimal(row.a) for row in unnamed)
    assert any(f"shown as {sums.UNNAMED}" in line for line in found.unknowns)


def test_open_interest_that_does_not_add_up_is_said(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sums, "LOTS", {"FILL": -1})
    monkeypatch.setattr(sums, "open_interest_changes", lambda outcomes: {})
    found = compared(folder, BOOK, "cut.yaml").answer
    assert any("do not add up" in line for line in found.unknowns)


def test_a_row_for_the_other_account_makes_it_deleveraged(monkeypatch: pytest.MonkeyPatch) -> None:
    """What ADL will mean to a counterparty, shown on the takeover's other account."""
    case, outcomes, state = next(
        (case, exchange.outcomes(), exchange.state())
        for case in sample(40, seed=21)
        for exchange in [jobs.exchange_of("engine")(case.venue, case.start_ns, case.seams)]
        if exchange.run(case.events) is None and (exchange.outcomes()["kind"] == OutcomeKind.TAKEOVER).any()
    )
    monkeypatch.setattr(sums, "MEANS", (sums.Means("TAKEOVER", "", "other", "adl_lots", "lots"),))
    found = sums.account_sums(outcomes, case.venue, state)
    taken = outcomes["qty"][outcomes["kind"] == OutcomeKind.TAKEOVER]
    assert found[Chart.BACKSTOP].adl_lots == int(taken.sum()) > 0
    assert found[Chart.BACKSTOP].harmed and comparing.status(sums.Sums(), found[Chart.BACKSTOP]) == "hurt"


# ---- law L20


def test_gains_and_losses_balance_over_the_closed_chart(thin: Compared) -> None:
    by_asset: dict[str, Decimal] = {}
    for row in thin.answer.totals.gains:
        by_asset[row.asset] = by_asset.get(row.asset, Decimal(0)) + Decimal(row.difference)
    assert by_asset == {"USDT": 0, "USDE": 0}
    assert any(Decimal(row.difference) for row in thin.answer.totals.gains if row.asset == "USDT")


@pytest.mark.parametrize("table", ["balances", "positions"])
@pytest.mark.parametrize("row", [0, -1])
def test_l20_is_broken_by_one_unit_that_comes_from_nowhere(
    folder: Path, monkeypatch: pytest.MonkeyPatch, table: str, row: int
) -> None:
    run_job = jobs.run_job

    def leaky(twin: str, job: jobs.Job) -> jobs.Ran:
        ran = run_job(twin, job)
        if job.name == "b":
            *keys, last = ran.state[table][row] if table == "balances" else ran.state[table][row][:4]
            rest = () if table == "balances" else ran.state[table][row][4:]
            ran.state[table][row] = (*keys, last + 1, *rest)
        return ran

    monkeypatch.setattr(jobs, "run_job", leaky)
    with pytest.raises(LawBroken, match="law L20 is broken after event") as caught:
        compared(folder, BOOK, "cut.yaml")
    assert caught.value.law == "L20" and caught.value.exit_code == 1


# ---- the first divergence


def test_the_first_divergence_is_where_event_by_event_bytes_part(folder: Path) -> None:
    """Both rule books on the model, one event at a time; accounts as the model sees them just after it."""
    found = compared(folder, BOOK, "cut.yaml", plan=str(folder / "crash.yaml")).answer
    tape = Tape.read(folder / "small.parquet")
    plan = load.load(folder / "crash.yaml", Plan)
    books = [load.load(load.find("venue", BOOK), Venue), load.load(folder / "cut.yaml", Venue)]
    exchanges = [Exchange(book, tape.meta.start_ns) for book in books]
    number = -1
    for e in overlay(tape.events, plan, books[0]):
        number += 1
        a, b = (exchange.apply(e) for exchange in exchanges)
        if a != b:
            break
    where = found.first_divergence
    assert where.event == number > 0 and a != b
    assert where.accounts and where.more_accounts == 0
    for row in where.accounts:
        for state, exchange in zip((row.a, row.b), exchanges, strict=True):
            account = exchange.ledger.accounts[row.account]
            e = exchange.evaluate(account)
            assert (state.equity, state.maintenance) == (
                units.int_to_decimal(e.equity, 8),
                units.int_to_decimal(e.maintenance, 8),
            )
            assert state.status == account.status.name and state.cash == units.int_to_decimal(account.balance[0], 8)
            assert [p.lots for p in state.positions] == [lots for lots in account.qty if lots]
            assert all(p.mark == units.int_to_decimal(exchange.marks[0].published.last_valid, 1) for p in state.positions)
            held = [(x.balance, x.price) for x in state.collateral]
            price = units.int_to_decimal(exchange.collateral[1].last_valid, 8)
            assert held == ([(units.int_to_decimal(account.balance[1], 8), price)] if account.balance[1] else [])
    assert any(line.startswith("LIQUIDATION: account ") for line in where.a.said)
    assert where.b.said == [] or where.a.said != where.b.said


def test_two_plans_part_where_the_fault_begins(folder: Path) -> None:
    found = compared(folder, "none.yaml", "crash.yaml").answer
    where = found.first_divergence
    assert found.a.kind == found.b.kind == "plan" and found.b.faults == ["crash"] and found.a.venue == found.b.venue == BOOK
    assert where.time == "2025-10-10T21:11:01Z", "the index is published a second after its source was heard"
    assert not any("at 0.00" in line for line in where.a.said)
    assert any(line.startswith("INDEX: USDEUSDT, 1 sources used, at 0.0099990") for line in where.b.said)
    assert {(row.kind, row.name) for row in where.prices} == {("index", "USDEUSDT"), ("mark", "BTCUSDT"), ("collateral", "USDE")}
    assert found.totals.hurt > 0 and found.totals.spared == 0
    assert found.rows == ["faults.crash: none -> spike"]


@pytest.mark.parametrize(
    ("source", "same"), [("uniswap-v3:USDEUSDT", True), ("binance-spot:USDEUSDT", False)], ids=["unheard", "heard"]
)
def test_a_fault_that_takes_events_out_is_compared_on_the_common_tape(folder: Path, source: str, same: bool) -> None:
    """Without its dropped events a run numbers the rest anew: of a source that no index reads that is no difference."""
    write_plan(folder / "silence.yaml", SILENCE.format(source))
    done = compared(folder, "none.yaml", "silence.yaml")
    made, numbers = comparing.jobs_of(done.inputs)
    assert len(made[1].events) < len(made[0].events)
    kept = done.inputs.events[numbers[1]]
    fields = [name for name in EVENT.names if name != "batch_left"]
    assert all((kept[name] == made[1].events[name]).all() for name in fields)
    found = done.answer
    assert found.same == same and (found.first_divergence is None) == same
    if not same:
        dropped = sorted(set(range(len(made[0].events))) - set(numbers[1].tolist()))
        assert found.first_divergence.event > dropped[0]
        assert any("STALE" in line for line in found.first_divergence.b.said)


@pytest.mark.parametrize("kind", list(OutcomeKind), ids=lambda kind: kind.name)
def test_every_kind_of_outcome_has_words(kind: OutcomeKind) -> None:
    venue = load.load(load.find("venue", BOOK), Venue)
    o = np.zeros(1, dtype=OUTCOME)[0]
    o["kind"], o["account"], o["other"], o["qty"], o["price"], o["money_lo"], o["flow"] = kind, 100, 101, 3, 12_345, 7, 5
    text = outcome_words(o, venue)
    assert text.startswith(f"{kind.name}: ") and "  " not in text and text != f"{kind.name}: "
    o["market"], o["asset"], o["ref_id"] = 200, 500, 700  # as a REJECT may name them
    assert outcome_words(o, venue).startswith(f"{kind.name}: ")


@pytest.mark.parametrize("kind", list(EventKind), ids=lambda kind: kind.name)
def test_every_kind_of_event_has_words(kind: EventKind) -> None:
    venue = load.load(load.find("venue", BOOK), Venue)
    e = np.zeros(1, dtype=EVENT)[0]
    e["kind"], e["account"], e["price"], e["side"], e["tif"], e["qty"] = kind, 100, 12_345, Side.BUY, 9, 2
    assert event_words(e, venue).startswith(kind.name)
    e["source"], e["market"], e["asset"], e["flags"] = 200, 200, 500, Flag.MISSING
    assert event_words(e, venue).startswith(kind.name)


# ---- what it leaves behind


def test_the_schema_in_the_repository_is_that_of_the_answer(thin: Compared) -> None:
    assert comparison.SCHEMA.read_text(encoding="utf-8") == comparison.schema(), "run `python -m riskbed.comparison`"
    tree = json.loads(thin.answer.model_dump_json())
    assert comparison.Comparison.model_validate(tree) == thin.answer
    assert set(tree) == set(json.loads(comparison.schema())["required"]) >= {"accounts", "totals", "first_divergence"}


def test_the_run_folder_is_whole(thin: Compared) -> None:
    folder = Path(thin.answer.run_folder)
    assert folder.name == f"{thin.answer.name}-{thin.answer.digest[:12]}"
    files = {"run.json", "accounts.parquet", "paths.parquet", "series.parquet", "report.html"}
    assert {path.name for path in folder.iterdir()} == files | {"outcomes-a.parquet", "outcomes-b.parquet"}
    assert json.loads((folder / "run.json").read_text()) == json.loads(thin.answer.model_dump_json())
    for name, ran in zip("ab", thin.ran, strict=True):
        assert parquet.read_outcomes(folder / f"outcomes-{name}.parquet").tobytes() == ran.outcomes.tobytes()


def test_paths_begin_with_the_capital_and_end_with_the_totals(thin: Compared) -> None:
    rows = pq.read_table(Path(thin.answer.run_folder) / "paths.parquet").to_pylist()
    totals = thin.answer.totals
    for run in "ab":
        by_name: dict[str, list] = {}
        for row in rows:
            if row["run"] == run:
                by_name.setdefault(row["name"], []).append(row)
        assert by_name["fund"][0]["value"] == 1_230_000_000
        assert by_name["fund"][-1]["value"] == Decimal(getattr(totals.fund, run))
        assert by_name["bad_debt"][-1]["value"] == Decimal(getattr(totals.bad_debt, run))
        assert by_name["open_interest BTCUSDT"][-1]["value"] == getattr(totals.open_interest[0], run)
        for path in by_name.values():
            assert all(x["time"] < y["time"] for x, y in zip(path, path[1:], strict=False))
    for row in thin.answer.paths:
        whole = {run: [x for x in rows if x["run"] == run and x["name"] == row.name] for run in "ab"}
        assert 1 <= len(row.points) <= 8 * comparing.BUCKETS
        assert max(Decimal(point.a) for point in row.points) == max(x["value"] for x in whole["a"])
        assert min(Decimal(point.b) for point in row.points) == min(x["value"] for x in whole["b"])


class Page(HTMLParser):
    """Collects a page's words outside scripts, its ids and what it would fetch."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.words, self.ids, self.fetched, self._inside = "", [], [], ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self._inside = tag
        self.ids += [value for name, value in attrs if name == "id"]
        self.fetched += [value for name, value in attrs if name in ("src", "href", "srcset", "data", "action", "poster")]

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        self.words += "" if self._inside in ("script", "style") else data


def test_the_page_stands_alone_and_says_who_is_spared(thin: Compared) -> None:
    text = (Path(thin.answer.run_folder) / "report.html").read_text(encoding="utf-8")
    page = Page(text)
    assert page.fetched == ["accounts.parquet"], "a link to a file beside the page"
    assert "default-src 'none'" in text
    assert page.ids == ["path-0", "path-1", "path-2"] and text.count('Plotly.newPlot("path-') == 3
    for account in (row.account for row in thin.answer.accounts if row.status in ("hurt", "spared")):
        assert f'<td class="text">{account}</td>' in text
    for words in (
        f"{thin.answer.totals.spared} spared",
        "What this comparison does not know",
        "the same orders and deposits",
        "markets.BTCUSDT.brackets.0.maintenance_ppm: 4000 -> 400",
        thin.answer.token.split("  #")[0],
        thin.answer.first_divergence.time,
    ):
        assert words in page.words, words
    for row in thin.answer.series:
        assert row.name in page.words


def test_a_long_list_of_accounts_is_folded_and_capped(thin: Compared) -> None:
    from riskbed.report import compare as page

    row = thin.answer.accounts[0]
    many = [row.model_copy(update={"account": 10_000 + n}) for n in range(500)]
    text = page.render(comparing.replace(thin, answer=thin.answer.model_copy(update={"accounts": many})))
    (folded,) = re.findall(r"<details><summary>(.*?)</summary>(.*?)</details>", text, re.DOTALL)
    assert folded[0] == f"{page.ACCOUNTS_FOLDED} accounts more" and folded[1].count("<tr>") == page.ACCOUNTS_FOLDED + 1
    assert len(re.findall(r'<td class="text">10\d\d\d</td>', text)) == page.ACCOUNTS_SHOWN + page.ACCOUNTS_FOLDED
    assert '280 accounts more, and all that fare alike, in <a href="accounts.parquet">accounts.parquet</a>' in text


def test_names_on_the_page_are_escaped(folder: Path) -> None:
    from riskbed.report.compare import render

    done = compared(folder, "none.yaml", "crash.yaml")
    bad = comparing.replace(done, answer=done.answer.model_copy(update={"title": "<b>&</script>", "unknowns": ["<i>"]}))
    text = render(bad)
    assert "<b>&</script>" not in text and "&lt;b&gt;&amp;&lt;/script&gt;" in text and "<i>" not in text


# ---- the command line


def command(*words: object, cwd: Path = ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join(part for part in (str(ROOT), os.environ.get("PYTHONPATH")) if part)
    line = [sys.executable, "-m", "riskbed.cli", *map(str, words)]
    env = os.environ | {"PYTHONPATH": path} | environment
    return subprocess.run(line, cwd=cwd, env=env, capture_output=True, text=True)


def test_the_token_reproduces_it_in_another_process(folder: Path, thin: Compared, tmp_path: Path) -> None:
    line, _, digests = thin.answer.token.partition("  # ")
    words = shlex.split(line)
    assert words[:2] == ["riskbed", "compare"] and "\n" not in line
    again = command(*words[1:], "--json", "--no-report", "--out", tmp_path, PYTHONHASHSEED="7")
    assert (again.returncode, again.stderr) == (0, "")
    tree, ours = json.loads(again.stdout), json.loads(thin.answer.model_dump_json())
    assert digests == f"tape {tree['tape']} a {tree['a']['venue_digest']} b {tree['b']['venue_digest']} outcomes {tree['digest']}"
    assert {key: value for key, value in tree.items() if key != "run_folder"} == {
        key: value for key, value in ours.items() if key != "run_folder"
    }


def test_tables_on_stdout_and_the_token_last(folder: Path, tmp_path: Path) -> None:
    line = ["compare", BOOK, folder / "cut.yaml", "--incident", INCIDENT, "--accounts", 300, "--out", tmp_path]
    done = command(*line)
    assert (done.returncode, done.stderr) == (0, "")
    (left,) = tmp_path.iterdir()
    answer = json.loads((left / "run.json").read_text())
    lines = done.stdout.splitlines()
    assert lines[-1] == answer["token"] and lines[-4:-2] == [f"Run folder: {left}", f"Report: {left}/report.html"]
    assert "--accounts 300" in answer["token"] and "--variant close" in answer["token"] and "--seed 1" in answer["token"]
    for title in ("What differs", "Accounts: ", "First divergence: event ", "Not known"):
        assert any(text.startswith(title) for text in lines), title
    assert answer["incident"] == "2025-10-10-B-collateral-index" and answer["assumed"] and answer["series"]


def test_nothing_differs_is_said_and_fine(tmp_path: Path) -> None:
    done = command("compare", BOOK, BOOK, "--incident", INCIDENT, "--accounts", 20, "--no-report", "--out", tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Nothing differs: every outcome of B is the outcome of A." in done.stdout


# ---- bad input: nothing runs, the message says where


def source_less(tree: dict) -> None:
    """Take BTC's source out, and let its index read another one."""
    tree["sources"].pop()
    tree["indices"][1] |= {"price_decimals": 8, "recipe": {"kind": "source", "name": "ethena:USDE-redemption"}}
    tree["markets"][0] |= {"price_decimals": 8, "lot": {"decimals": 0}}


def swapped_sources(tree: dict) -> None:
    tree["sources"][0], tree["sources"][1] = tree["sources"][1], tree["sources"][0]


def swapped_assets(tree: dict) -> None:
    tree["assets"].reverse()


def other_decimals(tree: dict) -> None:
    tree["sources"][3]["price_decimals"] = 0


def other_lot(tree: dict) -> None:
    tree["markets"][0]["lot"]["decimals"] = 2


def other_market(tree: dict) -> None:
    tree["markets"][0]["name"] = "ETHUSDT"
    for row in tree["quoters"]:
        row["market"] = "ETHUSDT"
    tree["assumed"] = []


def asset_less(tree: dict) -> None:
    tree["assets"].pop()
    tree["collateral"], tree["assumed"] = [], []


BOOKS = [
    (source_less, "sources", "names source 3 (synthetic:BTCUSDT in binance-um-2025-10-10), and here are 3 sources"),
    (asset_less, "assets", "names asset 1 (USDE in binance-um-2025-10-10), and here are 1 assets"),
    (swapped_sources, "name: uniswap", "names source 0: name uniswap-v3:USDEUSDT here, binance-spot:USDEUSDT in"),
    (swapped_assets, "name: USDE", "names asset 0: name USDE here, USDT in"),
    (other_decimals, "price_decimals: 0", "names source 3: price_decimals 0 here, 1 in"),
    (other_lot, "lot:", 'names market 0: lot {"size":1,"decimals":2} here'),
    (other_market, "name: ETHUSDT", "names market 0: name ETHUSDT here, BTCUSDT in"),
]


@pytest.fixture
def no_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise AssertionError("something ran")

    monkeypatch.setattr(jobs, "run_job", fail)


@pytest.mark.usefixtures("no_run")
@pytest.mark.parametrize(("change", "at", "said"), BOOKS, ids=[row[0].__name__ for row in BOOKS])
@pytest.mark.parametrize("place", ["a", "b"])
def test_a_rule_book_under_which_the_tape_means_something_else_is_refused(
    folder: Path, tmp_path: Path, change, at: str, said: str, place: str
) -> None:
    path = write_book(tmp_path / "bent.yaml", change)
    load.load(path, Venue)  # a rule book in itself
    a, b = (str(path), BOOK) if place == "a" else (BOOK, str(path))
    with pytest.raises(SpecError) as caught:
        compare(Options(a, b, tape=folder / "small.parquet", out=tmp_path / "runs"))
    where, line, column = caught.value.where.rsplit(":", 2)
    assert where.endswith("bent.yaml") and said in caught.value.problem and caught.value.remedy
    assert at in path.read_text().splitlines()[int(line) - 1][: int(column) + 60]
    assert not (tmp_path / "runs").exists()
    with pytest.raises(SpecError):
        compare(Options(a, b, incident=INCIDENT, accounts=20, out=tmp_path / "runs"))


def test_a_tape_of_ones_own_rule_book_is_read_by_it(folder: Path, tmp_path: Path) -> None:
    """Both files are the user's, under a packaged name: they mean the same by the tape's ids, and nobody knows better."""
    own = str(write_book(tmp_path / "own.yaml", other_decimals))
    found = compare(Options(own, own, tape=folder / "small.parquet", out=tmp_path / "runs", report=False)).answer
    assert found.same and found.totals.accounts > 0


ROWS = [
    # A, B, options, words of the message
    (BOOK, "none.yaml", {}, "none.yaml:1:1: A is a rule book and B is a plan (two rule books, or two plans;"),
    ("none.yaml", BOOK, {}, "A is a plan and B is a rule book"),
    ("no-such-book", BOOK, {}, "there is no rule book or plan named 'no-such-book' (known: "),
    ("binance-um-2025-10-11", BOOK, {}, "did you mean 'binance-um-2025-10-10'?"),
    ("absent.yaml", BOOK, {}, "absent.yaml: no such file"),
    (INCIDENT, BOOK, {}, f"there is no rule book or plan named '{INCIDENT}'"),
    ("incident.yaml", BOOK, {}, "incident.yaml:1:1: this is an incident (--incident names it"),
    ("other.yaml", BOOK, {}, "other.yaml:1:1: this is neither a rule book nor a plan (a rule book has markets"),
    ("torn.yaml", BOOK, {}, "torn.yaml:2:1: not YAML"),
    (BOOK, BOOK, {"tape": None}, "nothing to compare them on (one of --incident NAME and --tape FILE"),
    (BOOK, BOOK, {"incident": INCIDENT}, "--incident and --tape (one of"),
    (BOOK, BOOK, {"venue": BOOK}, "--venue with two rule books"),
    ("none.yaml", "crash.yaml", {"plan": "none.yaml"}, "--plan with two plans"),
    (BOOK, BOOK, {"plan": "lost.yaml"}, "lost.yaml:4:"),
    ("none.yaml", "lost.yaml", {}, "lost.yaml:4:"),
    (BOOK, BOOK, {"accounts": 40}, "--accounts with --tape"),
    (BOOK, BOOK, {"tape": None, "incident": "2025-10-11"}, "there is no incident named '2025-10-11'"),
    (BOOK, BOOK, {"tape": None, "incident": INCIDENT, "variant": "open"}, "'open' is not a variant"),
]


@pytest.mark.usefixtures("no_run")
@pytest.mark.parametrize(("a", "b", "changes", "said"), ROWS, ids=[row[3][:40] for row in ROWS])
def test_bad_input_says_cause_and_remedy(folder: Path, tmp_path: Path, a: str, b: str, changes: dict, said: str) -> None:
    write_plan(folder / "lost.yaml", CRASH.replace("binance-spot", "binance-spt"))
    (folder / "incident.yaml").write_text(load.find("incident", INCIDENT).read_text())
    (folder / "other.yaml").write_text("name: x\n")
    (folder / "torn.yaml").write_text("name: [x\n")
    a, b = (str(folder / name) if name.endswith(".yaml") else name for name in (a, b))
    changes = {key: str(folder / value) if str(value).endswith(".yaml") else value for key, value in changes.items()}
    with pytest.raises(SpecError) as caught:
        compare(Options(a, b, **({"tape": folder / "small.parquet", "out": tmp_path / "runs"} | changes)))
    assert said in str(caught.value) and caught.value.exit_code == 2
    assert not (tmp_path / "runs").exists()


@pytest.mark.usefixtures("no_run")
def test_a_tape_that_cannot_be_read_is_bad_data(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "torn.parquet").write_bytes((folder / "small.parquet").read_bytes()[:5_000])
    with pytest.raises(TapeError, match=r"torn\.parquet"):
        compare(Options(BOOK, BOOK, tape=tmp_path / "torn.parquet", out=tmp_path / "runs"))


def test_ids_that_the_tapes_own_rule_book_lacks_stay_bad_events(folder: Path) -> None:
    """A tape may name what no rule book has: the venue refuses it, under A and under B alike."""
    venue = load.load(load.find("venue", BOOK), Venue)
    events = Tape.read(folder / "small.parquet").events.copy()
    place = int(np.flatnonzero(events["kind"] == EventKind.DEPOSIT)[0])
    events["asset"][place] = 40
    meta = SimpleNamespace(venue=BOOK)
    books.fits(venue, SimpleNamespace(events=events, meta=meta), venue)
    with pytest.raises(At, match=r".*") as caught:
        books.fits(venue, SimpleNamespace(events=events, meta=SimpleNamespace(venue="another")), venue)
    assert f"event {place} of the tape names asset 40, and here are 2 assets" in caught.value.problem
