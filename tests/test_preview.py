"""`riskbed venue preview`: whom a change of rules would hurt, by example; and what `venue check`, `diff` and `show` say of changes.

The tape is that of tests/test_positions.py. At 98 account 16 has 88 and 16 lots of 1,568, 17 has 154.0001 and is short of 17 lots of
1,666, 18 has 198 and one lot. `tighter` asks 8 %, 10 % to open: 125.44 and 156.80 of 16, 133.28 and 166.60 of 17.
"""
# ruff: noqa: E501  (a row of a table is one line)

from __future__ import annotations

import json
from pathlib import Path

import pytest

from riskbed.replay import Options as Inputs
from riskbed.venue import book, check, diff
from riskbed.venue import preview as previewing
from riskbed.venue.preview import Options, Preview
from specs.errors import SpecError
from tests.test_changes import CAP, DOUBLE, HAIRCUT, TIGHTER
from tests.test_cli import riskbed
from tests.test_positions import AT_98, mine  # noqa: F401
from tests.twins import small_venue

TIGHT_YAML = """\
name: tighter
market: COINUSDT
brackets:
  - notional_max: 4_000
    leverage_max: 10
    maintenance_ppm: 80_000
"""


@pytest.fixture
def tight(tmp_path: Path) -> str:
    (tmp_path / "tighter.yaml").write_text(TIGHT_YAML)
    return str(tmp_path / "tighter.yaml")


def test_who_would_be_liquidatable_and_who_over_the_leverage(mine: Inputs, tight: str) -> None:  # noqa: F811
    found = previewing.preview(Options(tight, mine, at=AT_98))
    assert (found.change, found.of_what, found.at, found.accounts, found.kept) == ("tighter", "COINUSDT", AT_98, 3, 0)
    assert found.before.model_dump() == {"equity": "440.0001", "maintenance": "83.3000", "initial": "166.6000", "liquidatable": 0}
    assert found.after.model_dump() == {"equity": "440.0001", "maintenance": "266.5600", "initial": "333.2000", "liquidatable": 1}
    assert (found.liquidatable, found.over_leverage, found.notional, found.deficit) == (1, 2, "1568.0000", "37.4400")
    long, short = found.rows
    assert long.model_dump() == {
        "account": 16,
        "status": "normal",
        "liquidatable": True,
        "over_leverage": True,
        "keeps": False,
        "equity_before": "88.0000",
        "equity_after": "88.0000",
        "maintenance_before": "39.2000",
        "maintenance_after": "125.4400",
        "initial_before": "78.4000",
        "initial_after": "156.8000",
        "notional": "1568.0000",
    }
    assert (short.account, short.liquidatable, short.over_leverage) == (17, False, True)


def test_grandfathered_positions_keep_their_maintenance_and_not_their_leverage(mine: Inputs, tmp_path: Path) -> None:  # noqa: F811
    (tmp_path / "kept.yaml").write_text(TIGHT_YAML + "grandfather: {}\n")
    found = previewing.preview(Options(str(tmp_path / "kept.yaml"), mine, at=AT_98))
    assert (found.liquidatable, found.over_leverage, found.kept, found.after.maintenance) == (0, 2, 3, "83.3000")
    assert all(row.keeps for row in found.rows)


def test_nobody_is_hurt(mine: Inputs, tmp_path: Path) -> None:  # noqa: F811
    (tmp_path / "haircut.yaml").write_text("name: haircut\ncollateral: USD\nweight_ppm: 100_000\n")
    found = previewing.preview(Options(str(tmp_path / "haircut.yaml"), mine, at=AT_98, run="true_lower"))
    assert (found.of, found.rows, found.liquidatable, found.notional, found.before) == (0, [], 0, "0.0000", found.after)
    done = riskbed("venue", "preview", tmp_path / "haircut.yaml", "--tape", mine.tape, "--venue", mine.venue, "--at", AT_98)
    assert done.returncode == 0 and "0 accounts would become liquidatable" in done.stdout and "Whom it hurts" not in done.stdout


def test_a_preview_is_what_the_exchange_then_does(mine: Inputs, tight: str) -> None:  # noqa: F811
    """The change by name, from the rule book, and an event of it: the account that preview names is the one that is liquidated."""
    from dataclasses import replace

    from specs.tape import OutcomeKind
    from tests.twins import START_NS, tape

    venue = small_venue(changes=[TIGHTER])
    Path(mine.venue).write_text(venue.model_dump_json(exclude_defaults=True))
    named = previewing.preview(Options("tighter", mine, at=AT_98))
    assert named == previewing.preview(Options(tight, mine, at=AT_98)) == previewing.preview(Options(tight, replace(mine, twin="model"), at=AT_98))
    from engine.exchange import Exchange
    from tests.test_positions import ROWS

    lines = sorted(filter(str.strip, ROWS.splitlines()), key=lambda line: int(line.split()[0]))
    exchange = Exchange(venue, START_NS)
    exchange.run(tape(venue, "\n".join(lines[:-2])))
    before = len(exchange.outcomes())
    exchange.apply(tape(venue, "2 change tighter")[0])
    told = exchange.outcomes()[before:]
    opened = told[told["kind"] == OutcomeKind.LIQUIDATION]["account"].tolist()
    assert opened == [row.account for row in named.rows if row.liquidatable] == [16]


def test_a_cap_of_leverage_hurts_who_holds_more(mine: Inputs, tmp_path: Path) -> None:  # noqa: F811
    """At 10x 16 needs 156.80 of its 88, 17 needs 166.60 of its 154; maintenance stays."""
    (tmp_path / "cap.yaml").write_text("name: cap\nmarket: COINUSDT\nleverage_max: 10\n")
    found = previewing.preview(Options(str(tmp_path / "cap.yaml"), mine, at=AT_98))
    assert (found.liquidatable, found.over_leverage, found.after.maintenance, found.after.initial) == (0, 2, "83.3000", "333.2000")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name: x\nmarket: COIN\nleverage_max: 3\n", r"x.yaml:2:9: market: 'COIN' is not one of the markets \(known: COINUSDT\)"),
        ("name: x\ncollateral: DOGE\nweight_ppm: 3\n", r"x.yaml:2:13: collateral: 'DOGE' is not one of the collateral"),
        ("name: x\nmarket: COINUSDT\nleverage_maxx: 3\n", r"x.yaml:3:1: .*leverage_max"),
        (TIGHT_YAML.replace("10\n", "20\n"), r"x.yaml:5:19: .*initial margin 1/20 is below maintenance"),
        (TIGHT_YAML.replace("80_000", "1_080_000"), r"x.yaml:6:22: "),
        (TIGHT_YAML + "    amount: 3\n", r"x.yaml:7:13: .*its maintenance amount is 0"),
        ("name: x\nmarket: COINUSDT\nweight_ppm: 3\n", r"x.yaml:3:13: .*this is a change of a market"),
        ("name: x\nmarket: COINUSDT\n", r"x.yaml:1:1: .*changes nothing"),
        ("name: x\n", r"x.yaml:1:1: .*names neither market nor collateral"),
        ("name: x\nmarket: COINUSDT\nmaintenance_scale_ppm: 3_000_000\n", "would refuse change 'x' whole: initial margin at the leverage cap"),
        ("name: x\nmarket: COINUSDT\nmaintenance_scale_ppm: 99_000_000\n", "would refuse change 'x' whole: a rate above 100 %"),
    ],
)
def test_a_wrong_change_is_refused_where_it_stands(mine: Inputs, tmp_path: Path, text: str, said: str) -> None:  # noqa: F811
    (tmp_path / "x.yaml").write_text(text)
    with pytest.raises(SpecError, match=said):
        previewing.preview(Options(str(tmp_path / "x.yaml"), mine, at=AT_98))


def test_a_change_that_is_not_there_is_named(mine: Inputs, tight: str) -> None:  # noqa: F811
    with pytest.raises(SpecError, match="there is no change .*did you mean 'tighter.yaml'"):
        previewing.preview(Options(tight.replace("tighter", "tightr"), mine, at=AT_98))
    with pytest.raises(SpecError, match="is not on the tape"):
        previewing.preview(Options(tight, mine, at="2025-10-10T21:15:00Z"))


def test_the_command_prints_tables_or_one_object(mine: Inputs, tight: str) -> None:  # noqa: F811
    own = [tight, "--tape", mine.tape, "--venue", mine.venue, "--at", AT_98]
    done = riskbed("venue", "preview", *own)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    assert "Whom it hurts: 2 of 2 accounts" in done.stdout and "1 account would become liquidatable, with 1,568.00 USDT" in done.stdout
    as_json = riskbed("venue", "preview", *own, "--json")
    assert Preview.model_validate_json(as_json.stdout) == previewing.preview(Options(tight, mine, at=AT_98))
    assert set(json.loads(as_json.stdout)) == set(json.loads(previewing.schema())["required"])
    wrong = riskbed("venue", "preview", "nothing.yaml", *own[1:])
    assert (wrong.returncode, wrong.stdout) == (2, "") and wrong.stderr.startswith("riskbed: there is no change 'nothing.yaml'")


def test_the_schema_is_current() -> None:
    assert previewing.SCHEMA.read_text(encoding="utf-8") == previewing.schema(), "run `python -m riskbed.venue.preview`"


# ---- the other commands


def _book(*changes: dict) -> book.Book:
    return book.of_text(small_venue(changes=list(changes)).model_dump_json(exclude_defaults=True), "small.yaml")


def _found(rule: str, *changes: dict) -> list[tuple[str, str, str]]:
    return [(row.severity, row.place, row.problem) for row in check.findings(_book(*changes), rule)]


def test_check_says_which_change_would_be_refused() -> None:
    triple = {"name": "triple", "market": "COINUSDT", "maintenance_scale_ppm": 3_000_000}
    ((severity, place, problem),) = _found("changes", TIGHTER, triple, HAIRCUT, CAP)
    assert (severity, place) == ("warns", "changes.triple.maintenance_scale_ppm")
    assert problem == "the table would break a bound: initial margin at the leverage cap is below maintenance; a lower leverage_max with it mends that"
    first = DOUBLE | {"effective_from": "1970-01-01T00:20:00Z"}
    assert [place for _, place, _ in _found("changes", DOUBLE | {"name": "again"}, first)] == ["changes.again.maintenance_scale_ppm"]
    same = HAIRCUT | {"weight_ppm": 900_000}
    assert _found("changes", same) == [("note", "changes.haircut", "the weights of USD are what they were: it changes nothing")]
    assert _found("changes") == []


def test_check_judges_a_new_table_as_it_does_the_market_s() -> None:
    found = _found("bracket-order", TIGHTER | {"brackets": TIGHTER["brackets"] + [{"notional_max": 9_000, "leverage_max": 10, "maintenance_ppm": 80_000}]})
    assert [place for _, place, _ in found] == ["changes.tighter.brackets.above-4,000"]


def test_diff_and_show_name_the_rows_of_changes() -> None:
    answer = diff.compare(_book(TIGHTER, HAIRCUT), _book(TIGHTER, HAIRCUT | {"weight_ppm": 200_000}, CAP))
    assert [(row.row, row.a.value, row.b.value) for row in answer.rows] == [
        ("changes.haircut.weight_ppm", "100,000", "200,000"),
        ("changes.cap", None, "name cap, market COINUSDT, leverage_max 5"),
    ]
    from riskbed.venue import show

    shown = {row.row: row.value for row in show.resolve(_book(TIGHTER)).rows}
    assert shown["changes.tighter.brackets.above-0.maintenance_ppm"] == "80,000"
