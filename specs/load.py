"""Read the YAML files that people write, strictly: text -> plain values -> pydantic row, or a SpecError with file:line:column.

What YAML would guess at is refused instead. A file is one UTF-8 document of mappings, lists and scalars; anchors, aliases, tags,
merge keys, directives, duplicate keys and empty values are refused. A plain scalar is

    true, false            a switch
    12, -3, 1_000_000      an integer: decimal, no plus sign, no leading zero; underscores only between groups of three
    1.5, 1e3, .inf         a float: refused everywhere, whatever key it stands at
    012, 0x10, 0o7, +5     no plain integer: refused
    2025-10-10T21:36:00Z   a time; without its zone, or a date alone, refused
    anything else          text; quote it to have text that looks like one of the above

Every key and value keeps its line and column, counted from 1. The parser is ruamel.yaml's; its scalars are read here, because
its round-trip loader takes 012 for 12 and a naive time for one.
"""

from __future__ import annotations

import difflib
import re
import typing
from collections.abc import Callable
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple, TypeVar

from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml import events as yaml_events
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.reader import ReaderError

from specs import rules
from specs.errors import SpecError
from specs.rules import At

BYTES_MAX = 4 << 20  # of one file
DEPTH_MAX = 64  # mappings and lists inside each other
DIGITS_MAX = 64  # of one integer; a file on disk cannot make int() slow

Model = TypeVar("Model", bound=BaseModel)
Loc = tuple  # of keys (str) and list positions (int)

_NULL = re.compile(r"(~|null|Null|NULL|)\Z")
_BOOL = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INT = re.compile(r"-?(0|[1-9][0-9]*|[1-9][0-9]{0,2}(_[0-9]{3})+)\Z")
_ODD_INT = re.compile(r"[-+]?(0[xX][0-9a-fA-F_]+|0[oO][0-7_]+|0[bB][01_]+|[0-9][0-9_]*)\Z")
_FLOAT = re.compile(r"[-+]?((\.[0-9_]+|[0-9][0-9_]*(\.[0-9_]*)?)([eE][-+]?[0-9]+)?|\.(inf|Inf|INF))\Z|\.(nan|NaN|NAN)\Z")
_DATE = r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}"
_CLOCK = r"[0-9]{1,2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]*)?)?"
_TIME = re.compile(_DATE + r"(?:(?:[Tt]|[ \t]+)(?P<clock>" + _CLOCK + r")[ \t]*(?P<zone>Z|z|[-+][0-9]{1,2}(?::?[0-9]{2})?)?)?\Z")
_INSTANT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6}0*)?)?(Z|[-+][0-9]{2}:?[0-9]{2})\Z")
_TIME_REMEDY = "an ISO time with its zone, such as 2025-10-10T21:36:00Z"


class Problem(NamedTuple):
    """One thing wrong, where it stands and what would be right."""

    line: int
    column: int
    problem: str
    remedy: str = ""


class Place(NamedTuple):
    """Where a value stands. `key` is where its key stands, None in a list; `block`: a collection that no bracket opens."""

    key: tuple[int, int] | None
    value: tuple[int, int]
    block: bool
    raw: str  # as written, "" for a collection


class Document(NamedTuple):
    """A file as plain values, and the place of each by its path."""

    name: str
    tree: object
    places: dict[Loc, Place]

    def at(self, path: Loc, key: bool = False) -> tuple[int, int]:
        """Return line and column of a value; of its key if `key`, or if the value is a block with nothing to point at."""
        place = self.places[path]
        return place.key if place.key is not None and (key or place.block) else place.value

    def walk(self, loc: Loc) -> tuple[Loc, Loc]:
        """Return the part of `loc` that exists here and the part that does not: union tags, absent keys."""
        here, path, rest = self.tree, (), ()
        for step in loc:
            in_list = isinstance(here, list) and isinstance(step, int) and 0 <= step < len(here)
            if in_list or (isinstance(here, dict) and step in here):
                here, path = here[step], (*path, step)
            else:
                rest += (step,)
        return path, rest

    def value(self, path: Loc) -> object:
        here = self.tree
        for step in path:
            here = here[step]
        return here

    def dotted(self, path: Loc) -> str:
        """Return a path as a person reads it: rows by their name where they have one."""
        here, words = self.tree, []
        for step in path:
            here = here[step]
            row = isinstance(here, dict) and isinstance(step, int)
            labels = [here.get(key) for key in ("name", "id", "asset")] if row else []
            words.append(next((label for label in labels if isinstance(label, str)), str(step)))
        return ".".join(words)

    def problem(self, path: Loc, problem: str, remedy: str) -> Problem:
        """Return what is wrong with the value at a path, by its path and its place."""
        where = self.dotted(path)
        return Problem(*self.at(path), (f"{where}: " if where else "") + problem, remedy)


def near(word: str, known: typing.Iterable[str]) -> str:
    """Return a remedy for an unknown word: the closest known one, else all of them."""
    known = list(dict.fromkeys(known))
    close = difflib.get_close_matches(word, known, 1, 0.6)
    return f"did you mean '{close[0]}'?" if close else "known: " + (", ".join(known) or "none")


def near_file(path: Path) -> str:
    """Return a remedy for a file that is not there: the YAML file beside it whose name is nearest, if one is near at all."""
    beside = {other.stem: other.name for other in sorted(path.parent.glob("*.y*ml"))} if path.parent.is_dir() else {}
    close = difflib.get_close_matches(path.stem, beside, 1, 0.7)
    return f"did you mean '{beside[close[0]]}'?" if close else "a path from the current folder"


def shown(path: Path) -> str:
    """Return a path as messages show it: relative where it lies below the current folder."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def _unit(path: Loc) -> str:
    """Return what stands at a key, in the unit its name ends in."""
    key = next((step for step in reversed(path) if isinstance(step, str)), "")
    if key.endswith("_ppm") or key == "ppm":
        return "an integer in ppm: 1 % is 10_000"
    if key.endswith("_ns"):
        return "an integer of nanoseconds: 1 s is 1_000_000_000"
    if key == "weights":
        return "integers in 10^-8: 1 is 100_000_000"
    return "an integer"


# ---- text -> plain values


def _plain(text: str, path: Loc) -> tuple[object, str, str]:
    """Return (value, problem, remedy) of a plain scalar; problem is "" when it may stand."""
    if _NULL.match(text):
        return None, "nothing is written here", "write a value, or leave the key out"
    if text in _BOOL:
        return _BOOL[text], "", ""
    if _INT.match(text):
        if len(text) > DIGITS_MAX:
            return 0, f"an integer of {len(text)} digits", "no unit here needs that many"
        return int(text), "", ""
    if _ODD_INT.match(text):
        if len(text) > DIGITS_MAX:
            return 0, f"an integer of {len(text)} digits", "no unit here needs that many"
        bare = text.replace("_", "").lstrip("+")
        number = int(bare, 0) if re.match(r"-?0[xXoObB]", bare) else int(bare)
        octal = "; a leading zero is octal to some readers" if re.match(r"[-+]?0[0-9_]", text) else ""
        return number, f"{text} is not a plain integer", f"write {number}{octal}, or '{text}' in quotes if it is text"
    if _FLOAT.match(text):
        remedy = f"{_unit(path)}; or, where whole units are asked, a decimal in quotes: '{text}'"
        return 0, f"{text} is a float, and floats are refused", remedy
    if match := _TIME.match(text):
        if match["clock"] is None:
            return text, f"{text} is a date without a time", f"{_TIME_REMEDY}; or in quotes if it is text"
        if match["zone"] is None:
            return text, f"{text} has no time zone", f"{text}Z if that is UTC, else with its offset"
    return text, "", ""


class _Refused(Exception):
    """Reading cannot go on: the last problem has been noted."""


class _Builder:
    """Makes the plain values of the parser's events and notes the place of each, and whatever is refused."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self.places: dict[Loc, Place] = {}
        self.root: object = None
        self.documents = 0
        self._path: Loc = ()  # of the collection that is open
        self._open: list[dict | list] = []
        self._key: tuple[str, tuple[int, int]] | None = None  # that waits for its value

    def refuse(self, at: tuple[int, int], problem: str, remedy: str) -> None:
        self.problems.append(Problem(*at, problem, remedy))

    def take(self, event: yaml_events.Event) -> None:
        at = (event.start_mark.line + 1, event.start_mark.column + 1)
        if isinstance(event, yaml_events.DocumentStartEvent):
            self._document(event, at)
        elif isinstance(event, (yaml_events.SequenceEndEvent, yaml_events.MappingEndEvent)):
            self._open.pop()
            self._path = self._path[:-1]
        elif isinstance(event, yaml_events.NodeEvent):
            if event.anchor is not None:
                sign = "alias *" if isinstance(event, yaml_events.AliasEvent) else "anchor &"
                self.refuse(at, sign + event.anchor, "anchors and aliases are refused: write the value out")
            if getattr(event, "tag", None) is not None:
                self.refuse(at, f"tag {event.tag}", "tags are refused: the key says what stands there")
            if self._open and isinstance(self._open[-1], dict) and self._key is None:
                self._take_key(event, at)
            else:
                self._take_value(event, at)

    def _document(self, event: yaml_events.DocumentStartEvent, at: tuple[int, int]) -> None:
        self.documents += 1
        if self.documents > 1:
            self.refuse(at, "a second document begins here", "one document a file")
            raise _Refused
        if event.version or event.tags:
            self.refuse(at, "a directive stands above this", "leave lines that begin with % out")
            raise _Refused

    def _take_key(self, event: yaml_events.NodeEvent, at: tuple[int, int]) -> None:
        if not isinstance(event, yaml_events.ScalarEvent):
            self.refuse(at, "a key that is no word", "keys are words")
            raise _Refused
        if event.value == "<<":
            self.refuse(at, "merge key <<", "merge keys are refused: write the keys out")
        elif event.value in self._open[-1]:
            first = self.places[(*self._path, event.value)].key
            self.refuse(at, f"key '{event.value}' stands twice, first in line {first[0]}", "keep one of the two")
        self._key = (event.value, at)

    def _take_value(self, event: yaml_events.NodeEvent, at: tuple[int, int]) -> None:
        step, key_at = self._key or (None, None)
        self._key = None
        parent = self._open[-1] if self._open else None
        path = () if parent is None else (*self._path, len(parent) if isinstance(parent, list) else step)
        raw, collection = "", isinstance(event, yaml_events.CollectionStartEvent)
        if collection:
            value = {} if isinstance(event, yaml_events.MappingStartEvent) else []
            if len(self._open) >= DEPTH_MAX:
                self.refuse(at, f"more than {DEPTH_MAX} levels deep", "flatter")
                raise _Refused
        elif isinstance(event, yaml_events.AliasEvent):
            value = None
        else:
            value = raw = event.value
            if event.implicit[0] and event.tag is None:
                value, problem, remedy = _plain(raw, path)
                if problem and (raw or parent is not None):  # a bare '---' is an empty file
                    at = at if raw else key_at or at  # an empty value has no place of its own
                    self.refuse(at, problem, remedy)
        if parent is None:
            self.root = value
        elif isinstance(parent, list):
            parent.append(value)
        else:
            parent.setdefault(step, value)
        self.places.setdefault(path, Place(key_at, at, collection and not event.flow_style, raw))
        if collection:
            self._open.append(value)
            self._path = path


@lru_cache(maxsize=32)  # a file is read for its names, then for its row, then checked against another: parsing is what costs
def parse(text: str, name: str) -> Document:
    """Return the plain values of one YAML document and the place of each, not to be changed.

    Raise SpecError at the first thing that is refused.
    """
    builder = _Builder()
    try:
        for event in YAML(typ="rt", pure=True).parse(text):
            builder.take(event)
    except _Refused:
        pass  # told below, with what was refused before it
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        both = error.problem and error.context
        remedy = error.context if both else "look at its indentation; text with ': ' in it goes in quotes"
        builder.refuse((mark.line + 1, mark.column + 1), f"not YAML: {error.problem or error.context}", remedy)
    except ReaderError as error:
        at = _line_and_column(text[: error.position])
        what = f"character #x{ord(text[error.position]):02x} is not allowed"
        builder.refuse(at, what, "plain text, or an escape in double quotes")
    except YAMLError as error:
        builder.refuse((1, 1), f"not YAML: {error}", "see yaml.org")
    if not builder.problems and builder.root is None:
        builder.refuse((1, 1), "the file is empty", "write keys and values")
    if not builder.problems and not isinstance(builder.root, dict):
        builder.refuse(builder.places[()].value, "the file is not a mapping", "write 'key: value' lines")
    if builder.problems:
        raise _refused(name, builder.problems)
    return Document(name, builder.root, builder.places)


def _line_and_column(before: str) -> tuple[int, int]:
    """Return where the character after this text stands."""
    return before.count("\n") + 1, len(before) - before.rfind("\n")


def _refused(name: str, problems: list[Problem]) -> SpecError:
    """Return the first problem by position as a SpecError that says how many more there are."""
    first, *others = sorted(problems, key=lambda p: (p.line, p.column))
    more = f"{len(others)} more in this file" if others else ""
    remedy = "; ".join(words for words in (first.remedy, more) if words)
    return SpecError(first.problem, where=f"{name}:{first.line}:{first.column}", remedy=remedy)


# ---- plain values -> a row

_PATTERNS = {
    rules.Name.__metadata__[0].pattern: "letters, digits and _ . : / -, the first a letter or a digit, at most 64",
    r"^(0|[1-9][0-9]*)(\.[0-9]+)?$": "digits, such as '0.95': no sign, no exponent, no leading zero",
}
_BOUNDS = {
    "greater_than_equal": ("ge", "at least"),
    "less_than_equal": ("le", "at most"),
    "greater_than": ("gt", "above"),
    "less_than": ("lt", "below"),
}
_WRONG_TYPE = {
    "int_type": "an integer",
    "string_type": "text",
    "bool_type": "true or false",
    "datetime_type": "a time",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
}


def _row_types(annotation: object) -> list[type[BaseModel]]:
    """Return the row types named anywhere in an annotation."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [row for part in typing.get_args(annotation) for row in _row_types(part)]


def _kinds(row: type[BaseModel]) -> tuple:
    """Return what a row's `kind` may say, nothing if it has none."""
    return typing.get_args(row.model_fields["kind"].annotation) if "kind" in row.model_fields else ()


def _rows_at(model: type[BaseModel], document: Document, path: Loc) -> list[type[BaseModel]]:
    """Return the row types that may stand at a path, narrowed by `kind` where one is written."""
    rows: list[type[BaseModel]] = [model]
    here = document.tree
    for step in (*path, None):
        if isinstance(here, dict) and "kind" in here:
            rows = [row for row in rows if here["kind"] in _kinds(row)] or rows
        if step is None:
            return rows
        here = here[step]
        if isinstance(step, str):
            fields = [f for row in rows for name, f in row.model_fields.items() if step == (f.alias or name)]
            rows = [row for field in fields for row in _row_types(field.annotation)]
    return rows


def _keys(rows: list[type[BaseModel]]) -> list[str]:
    return list(dict.fromkeys(field.alias or name for row in rows for name, field in row.model_fields.items()))


def _written(document: Document, path: Loc) -> str:
    """Return a value as a message quotes it: as it was typed, text in quotes."""
    value = document.value(path)
    if isinstance(value, (dict, list)):
        return "a mapping" if isinstance(value, dict) else "a list"
    raw = document.places[path].raw
    raw = raw if len(raw) <= 60 else raw[:57] + "..."
    return f"'{raw}'" if isinstance(value, str) else raw


def _say(kind: str, context: dict, document: Document, path: Loc, message: str) -> tuple[str, str]:
    """Return cause and remedy of one of pydantic's refusals, in the words of the file."""
    value, written = document.value(path), _written(document, path)
    if kind in _WRONG_TYPE:
        want = _WRONG_TYPE[kind]
        remedy = want
        if kind == "int_type":
            remedy = _unit(path)
            if isinstance(value, bool) or (isinstance(value, str) and value.lower() in ("yes", "no", "on", "off")):
                remedy += f"; write {int(value is True or value in ('yes', 'Yes', 'YES', 'on', 'On', 'ON'))} if that is meant"
            elif isinstance(value, str) and _INT.match(value):
                remedy += f": {value} without quotes"
        elif kind == "string_type" and not isinstance(value, (dict, list)):
            remedy = f"in quotes if it is text: '{document.places[path].raw}'"
        elif kind == "datetime_type":
            remedy = _TIME_REMEDY
        return f"{written} is not {want}", remedy
    if kind in _BOUNDS:
        name, word = _BOUNDS[kind]
        return f"{written} is out of range", f"{word} {context[name]}, {_unit(path)}"
    if kind == "string_pattern_mismatch":
        return f"{written} is not written as it must be", _PATTERNS.get(context["pattern"], f"of the form {context['pattern']}")
    if kind in ("string_too_short", "too_short"):
        return f"{'empty text' if value == '' else 'too few entries'}", f"at least {context['min_length']}"
    if kind in ("string_too_long", "too_long"):
        return f"{'text too long' if isinstance(value, str) else 'too many entries'}", f"at most {context['max_length']}"
    if kind in ("literal_error", "union_tag_invalid"):
        known = re.findall(r"'([^']*)'", context.get("expected") or context["expected_tags"]) or [context["expected"]]
        return f"{written} is not known here", near(str(value), known)
    if kind == "timezone_aware":
        return f"{written} has no time zone", "write it with Z, or with its offset"
    if kind.startswith("datetime"):
        return f"{written} is not a time", _TIME_REMEDY
    return f"{written}: {message}", ""


def _explain(errors: list[dict], document: Document, model: type[BaseModel]) -> list[Problem]:
    """Return pydantic's errors as problems with a place. One a value: the branches of a union are one refusal."""
    problems: list[Problem] = []
    typos: set[tuple[Loc, str]] = set()  # (row, key that was meant)
    missing: list[tuple[Loc, str]] = []
    branches: dict[Loc, list[dict]] = {}

    def add(path: Loc, problem: str, remedy: str) -> None:
        problems.append(document.problem(path, problem, remedy))

    def unknown_key(path: Loc, known: list[str]) -> str:
        remedy = near(str(path[-1]), known)
        told = document.problem(path[:-1], f"unknown key '{path[-1]}'", remedy)
        line, column = document.at(path, key=True)
        problems.append(told._replace(line=line, column=column))
        return remedy

    for error in errors:
        path, rest = document.walk(error["loc"])
        kind, context = error["type"], error.get("ctx", {})
        if kind == "extra_forbidden":
            known = _keys(_rows_at(model, document, path[:-1]))
            remedy = unknown_key(path, known)
            typos.update((path[:-1], key) for key in known if remedy == f"did you mean '{key}'?")
        elif kind == "missing":
            missing.append((path, str(rest[-1])))
        elif kind == "union_tag_not_found":
            tags = [tag for row in _rows_at(model, document, path) for tag in _kinds(row)]
            if "kind" in document.value(path):  # a kind that is no text
                add((*path, "kind"), f"{_written(document, (*path, 'kind'))} is not known here", near("", tags))
            else:
                add(path, "'kind' is missing", "kind: " + ", ".join(tags))
        elif kind == "union_tag_invalid":
            add((*path, "kind"), *_say(kind, context, document, (*path, "kind"), error["msg"]))
        elif kind in ("value_error", "assertion_error"):
            cause = context["error"]
            if isinstance(cause, At):
                path, _ = document.walk(path + cause.path)
                add(path, cause.problem, cause.remedy)
            else:
                add(path, str(cause), "")
        elif rest and rest[-1] == "[key]":
            unknown_key(path, re.findall(r"'([^']*)'", context.get("expected", "")))
        else:
            branches.setdefault(path, []).append(error)
    for path, group in branches.items():
        fitting = [error for error in group if error["type"] not in _WRONG_TYPE]  # the branch whose type the value has
        if len(group) > 1 and not fitting:
            kinds = " nor ".join(dict.fromkeys(_WRONG_TYPE[error["type"]] for error in group))
            value = document.value(path)
            remedy = f"write {int(value)} if that is meant" if isinstance(value, bool) else f"one of {len(group)} forms"
            add(path, f"{_written(document, path)} is neither {kinds}", remedy)
        else:
            error = (fitting or group)[0]
            add(path, *_say(error["type"], error.get("ctx", {}), document, path, error["msg"]))
    for path, key in missing:
        if (path, key) not in typos:  # the misspelt key is the better message
            add(path, f"'{key}' is missing", f"add '{key}: ...'")
    return problems


def _coerced(value: object, written: object, document: Document, path: Loc) -> list[Problem]:
    """Return what pydantic let pass although it is not what is written: True for 1, a number for a time, lost nanoseconds."""
    if isinstance(value, BaseModel) and isinstance(written, dict):
        value = {field.alias or name: getattr(value, name) for name, field in type(value).model_fields.items()}
    if isinstance(value, (list, tuple)) and isinstance(written, list):
        value, written = dict(enumerate(value)), dict(enumerate(written))
    if isinstance(value, dict) and isinstance(written, dict):
        return [p for key in written if key in value for p in _coerced(value[key], written[key], document, (*path, key))]
    cause = ""
    if isinstance(written, bool) and not isinstance(value, bool):
        cause, remedy = "is not an integer", f"write {int(written)}"
    elif isinstance(value, datetime) and not isinstance(written, str):
        cause, remedy = "is not a time", _TIME_REMEDY
    elif isinstance(value, datetime) and not _INSTANT.match(written):
        cause, remedy = "is not a time with at most microseconds", _TIME_REMEDY
    if not cause:
        return []
    return [document.problem(path, f"{_written(document, path)} {cause}", remedy)]


def load_text(text: str, model: type[Model], name: str = "<text>", check: Callable[[Model], object] | None = None) -> Model:
    """Return the row that a YAML text says, or raise SpecError with name:line:column of the first problem.

    `check` is called with the row and may raise `At`, for what depends on another file, such as names of a venue in a plan.
    """
    document = parse(text, name)
    try:
        row = model.model_validate(document.tree)
    except ValidationError as error:
        raise _refused(name, _explain(error.errors(include_url=False), document, model)) from None
    problems = _coerced(row, document.tree, document, ())
    if not problems and check is not None:
        try:
            check(row)
        except At as error:
            path, _ = document.walk(error.path)
            problems.append(document.problem(path, error.problem, error.remedy))
    if problems:
        raise _refused(name, problems)
    return row


# ---- files


def read_text(path: Path) -> str:
    """Return the text of a file a person named, or raise SpecError: missing, a folder, unreadable, too large, not UTF-8."""
    name = shown(path)
    try:
        if path.is_dir():
            raise SpecError("this is a folder", where=name, remedy="name a YAML file in it")
        if path.stat().st_size > BYTES_MAX:
            remedy = "a spec holds figures; data goes on a tape"
            raise SpecError(f"the file has more than {BYTES_MAX} bytes", where=name, remedy=remedy)
        data = path.read_bytes()
    except FileNotFoundError:
        raise SpecError("no such file", where=name, remedy=near_file(path)) from None
    except (OSError, ValueError) as error:
        cause = getattr(error, "strerror", None) or error
        raise SpecError(f"cannot be read: {cause}", where=name, remedy="name a readable YAML file") from None
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line, column = _line_and_column(data[: error.start].decode("utf-8"))
        where = f"{name}:{line}:{column}"
        raise SpecError(f"byte 0x{data[error.start]:02x} is not UTF-8", where=where, remedy="save the file as UTF-8") from None


def load(path: str | Path, model: type[Model], check: Callable[[Model], object] | None = None) -> Model:
    """Return the row that a YAML file says, or raise SpecError with file:line:column."""
    path = Path(path)
    return load_text(read_text(path), model, shown(path), check)


FOLDERS = {"venue": "venues", "incident": "incidents", "plan": "plans", "suite": "suites", "preset": "presets"}
BASELINE_SUFFIX = ".baseline.yaml"  # of what was accepted of a suite: it stands beside the suite and is none


def names(kind: str) -> dict[str, Path]:
    """Return the packaged files of a kind by name: the file's stem, and for incidents their aliases too."""
    folder = Path(__file__).parent / FOLDERS[kind]
    files = [path for path in sorted(folder.glob("*.yaml")) if not path.name.endswith(BASELINE_SUFFIX)] if folder.is_dir() else []
    found = {path.stem: path for path in files}
    if kind == "incident":
        for path in files:
            tree = parse(read_text(path), shown(path)).tree
            aliases = tree.get("aliases", tree.get("alias", []))
            for alias in aliases if isinstance(aliases, list) else [aliases]:
                found.setdefault(str(alias), path)
    return found


def find(kind: str, name_or_path: str | Path) -> Path:
    """Return the file that a name or a path means. A packaged name wins over a file of the same name in the current folder.

    kind: one of FOLDERS. Raises SpecError with the nearest name when there is neither.
    """
    text = str(name_or_path)
    if isinstance(name_or_path, Path) or "/" in text or "\\" in text or text.endswith((".yaml", ".yml")):
        return Path(name_or_path)
    packaged = Path(__file__).parent / FOLDERS[kind] / f"{text}.yaml"
    if re.fullmatch(rules.Name.__metadata__[0].pattern, text) and packaged.is_file():
        return packaged
    known = names(kind)
    if text in known:
        return known[text]
    if Path(text).is_file():
        return Path(text)
    raise SpecError(f"there is no {kind} named '{text}'", remedy=f"{near(text, known)}; or give the path of a YAML file")
