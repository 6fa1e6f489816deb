"""Files as they lie on a disk: what cannot be read, what a name means, what a good file says; and the schemas for editors."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from specs import load as loading
from specs.errors import SpecError
from specs.faults import Plan
from specs.load import find, load, load_text, names, parse
from specs.rules import Venue
from specs.schema import FOLDER, MODELS, render

PLAN = """\
schema_version: 1
name: broken
faults: [{id: gap, kind: drop, source: usde, from: 2025-10-10T21:36:00+00:00, to: '2025-10-10T22:16:00Z'}]
"""


@pytest.mark.parametrize(
    "text, value",
    [
        ("12", 12),
        ("-3", -3),
        ("0", 0),
        ("1_000_000", 1_000_000),
        ("true", True),
        ("False", False),
        ("'012'", "012"),
        ("yes", "yes"),
        ("1e", "1e"),
        ("21:36", "21:36"),
        ("2025-10-10-B", "2025-10-10-B"),
        ("2025-10-10T21:36:00Z", "2025-10-10T21:36:00Z"),
        ("2025-10-10 21:36:00 +02:00", "2025-10-10 21:36:00 +02:00"),
        ("'1.5'", "1.5"),
        ('"a: b"', "a: b"),
        ("''", ""),
        ("[1, [x, {y: 2}]]", [1, ["x", {"y": 2}]]),
        ("{}", {}),
        ("|\n  two\n  lines", "two\nlines\n"),
    ],
)
def test_what_a_value_is_read_as(text, value):
    read = parse(f"a: {text}\n", "x.yaml").tree["a"]
    assert read == value and type(read) is type(value)


def test_places_are_kept():
    document = parse("a: 1\nb:\n  - x: 2\n    yy:   [3, 4]\n", "x.yaml")
    assert document.at(("a",)) == (1, 4) and document.at(("a",), key=True) == (1, 1)
    assert document.at(("b",)) == (2, 1)  # a block: its key
    assert document.at(("b", 0)) == (3, 5)
    assert document.at(("b", 0, "yy")) == (4, 11)  # brackets can be pointed at
    assert document.at(("b", 0, "yy", 1)) == (4, 15)


def test_a_plan_is_read(tmp_path):
    path = tmp_path / "plan.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + PLAN.replace("\n", "\r\n").encode())  # as some editors save it
    fault = load(path, Plan).faults[0]
    assert fault.from_time == datetime(2025, 10, 10, 21, 36, tzinfo=UTC)
    assert fault.to_ns - fault.from_ns == 2_400 * 10**9
    assert fault.enabled


def test_an_unreadable_file_says_why(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plans").mkdir()
    (tmp_path / "plans" / "broken.yaml").write_text(PLAN)
    with pytest.raises(SpecError, match=r"^plans: this is a folder \(name a YAML file in it\)$"):
        load("plans", Plan)
    with pytest.raises(SpecError, match=r"^plans/brokn.yaml: no such file \(did you mean 'broken.yaml'\?\)$"):
        load("plans/brokn.yaml", Plan)
    with pytest.raises(SpecError, match=r"^nowhere/x.yaml: no such file"):
        load("nowhere/x.yaml", Plan)
    (tmp_path / "latin.yaml").write_bytes("a: 1\nb: caf\xe9\n".encode("latin-1"))
    with pytest.raises(SpecError, match=r"^latin.yaml:2:7: byte 0xe9 is not UTF-8 \(save the file as UTF-8\)$"):
        load("latin.yaml", Plan)
    monkeypatch.setattr(loading, "BYTES_MAX", 10)
    with pytest.raises(SpecError, match=r"^plans/broken.yaml: the file has more than 10 bytes"):
        load("plans/broken.yaml", Plan)


@pytest.mark.parametrize("name, why", [("x" * 300 + ".yaml", "File name too long"), ("a\0b.yaml", "embedded null")])
def test_a_name_that_no_file_can_have(name, why):
    with pytest.raises(SpecError, match=f"cannot be read: {why}.* \\(name a readable YAML file\\)$"):
        load(name, Plan)


def test_a_limit_holds_at_its_value():
    deep = "a: " + "[" * (loading.DEPTH_MAX - 1) + "]" * (loading.DEPTH_MAX - 1)
    assert parse(deep, "x.yaml").tree["a"] is not None
    with pytest.raises(SpecError, match="levels deep"):
        parse(deep.replace("[]", "[[]]"), "x.yaml")
    digits = "a: " + "9" * loading.DIGITS_MAX
    assert parse(digits, "x.yaml").tree["a"] == 10**loading.DIGITS_MAX - 1
    with pytest.raises(SpecError, match="65 digits"):
        parse(digits + "9", "x.yaml")


@pytest.fixture
def packaged(tmp_path, monkeypatch):
    """A package folder with one venue and one incident."""
    for folder, name, text in (
        ("venues", "binance-um", "name: binance-um\n"),
        ("incidents", "2025-10-10-B", "id: 2025-10-10-B\naliases: [2025-10-10-usde]\n"),
    ):
        (tmp_path / "specs" / folder).mkdir(parents=True)
        (tmp_path / "specs" / folder / f"{name}.yaml").write_text(text)
    monkeypatch.setattr(loading, "__file__", str(tmp_path / "specs" / "load.py"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_find(packaged):
    venue = packaged / "specs" / "venues" / "binance-um.yaml"
    incident = packaged / "specs" / "incidents" / "2025-10-10-B.yaml"
    assert find("venue", "binance-um") == venue
    assert find("incident", "2025-10-10-B") == incident
    assert find("incident", "2025-10-10-usde") == incident
    assert names("incident") == {"2025-10-10-B": incident, "2025-10-10-usde": incident}
    assert str(find("venue", "mine/v.yaml")) == "mine/v.yaml"  # a path is the user's own; load says if it is not there
    (packaged / "own").write_text("name: own\n")
    (packaged / "binance-um").write_text("name: other\n")
    assert str(find("plan", "own")) == "own"
    assert find("venue", "binance-um") == venue  # the packaged one wins
    with pytest.raises(SpecError, match=r"^there is no venue named 'binance-un' \(did you mean 'binance-um'\?; or give the path"):
        find("venue", "binance-un")
    with pytest.raises(SpecError, match=r"^there is no incident named '2025-10-10-usd' \(did you mean '2025-10-10-usde'\?"):
        find("incident", "2025-10-10-usd")
    with pytest.raises(SpecError, match=r"^there is no venue named 'zzz' \(known: binance-um;"):
        find("venue", "zzz")
    with pytest.raises(SpecError, match=r"^there is no venue named '\.\.'"):
        find("venue", "..")


@pytest.mark.parametrize("path", [pytest.param(path, id=name) for name, path in names("venue").items()])
def test_packaged_venues_load_under_their_own_name(path):
    assert load(path, Venue).name == path.stem


def test_a_check_points_into_the_file():
    def refuse(plan):
        raise loading.At(("faults", 0, "source"), "no such source", "another one")

    with pytest.raises(SpecError, match=r"^p\.yaml:3:40: faults\.gap\.source: no such source \(another one\)$"):
        load_text(PLAN, Plan, "p.yaml", check=refuse)


@pytest.mark.parametrize("name", MODELS)
def test_schemas_are_current(name):
    assert (FOLDER / f"{name}.json").read_text(encoding="utf-8") == render(name), "run: python -m specs.schema"
