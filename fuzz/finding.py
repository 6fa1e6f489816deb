"""What a failure is, how a case is judged, and the folder in which a finding lies until somebody has mended it.

A *failure* is one of

    law     a law broken: L1, L2, ..
    twins   the twins differ, in a field: outcome.price, positions.qty, ..
    crash   an exception in either twin or in a law: AssertionError in specs/model/ledger.py:open
    died    the process: SIGSEGV, SIGABRT, .., or hang

Its *signature* is the kind and what follows the colon, without numbers of events, rows and accounts, and the planted bug if there
is one: two failures of one signature are one finding. Shrinking keeps the signature.

    <digest of the signature>/
        tape.parquet    the events, as Tape.write writes them; their order may be broken, for that is tested too
        venue.yaml      the rule book; specs.load reads back the equal Venue
        seams.yaml      the fault schedule
        finding.json    the failure, where the case came from, digests of the three files, the replay token
"""

from __future__ import annotations

import faulthandler
import hashlib
import importlib
import json
import os
import pickle
import re
import resource
import select
import shutil
import signal
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, StrictInt, ValidationError

from fuzz import mutants
from fuzz.strategies import Case
from fuzz.twin import Lockstep, twin_class
from specs import laws, load, pairs, units
from specs.errors import LawBroken, SpecError, TapeError, TwinsDiffer
from specs.lawbook import runs
from specs.rules import Row, Venue
from specs.tape import EVENT, SEAM_ANY, Meta, Seam, SeamKind, Tape

CASE_SECONDS_MAX = 120  # of one case; the slowest of the sampled ones take three
TAPE, VENUE, SEAMS, FINDING = "tape.parquet", "venue.yaml", "seams.yaml", "finding.json"


# ---- who runs, and what is checked


@dataclass(frozen=True)
class Setup:
    """Two exchanges to run in lockstep: 'model', 'engine' or 'module:Class'. right None: left alone, under the laws only.

    planted: the number of a bug of fuzz.mutants in the left one, which is then a model; 0 for none.
    """

    left: str = "model"
    right: str | None = "engine"
    planted: int = 0

    def classes(self) -> list[type]:
        """Return the exchange classes, the bug planted in the first. Raises SpecError for an unknown bug."""
        if self.planted and self.planted not in mutants.MUTANTS:
            raise SpecError(f"there is no planted bug {self.planted}", remedy=f"one of {', '.join(map(str, mutants.MUTANTS))}")
        return [mutants.plant(_class(self.left), self.planted)] + ([_class(self.right)] if self.right else [])


def _class(name: str) -> type:
    """Return the exchange class of a name. Raises SpecError."""
    if name in ("model", "engine"):
        return twin_class(name)
    module, _, member = name.partition(":")
    try:
        return getattr(importlib.import_module(module), member)
    except (ImportError, AttributeError, ValueError) as error:
        raise SpecError(f"there is no exchange '{name}': {error}", remedy="model, engine or module:Class") from None


def _reject_is_clock(case: Case, cls: type) -> None:
    runs.reject_is_clock(partial(cls, case.venue, case.start_ns, case.seams), case.events)


def _same_input_same_digest(case: Case, cls: type) -> None:
    fresh, restore = partial(cls, case.venue, case.start_ns, case.seams), partial(cls.restore, case.venue)
    runs.same_input_same_digest(fresh, restore, case.events, len(case.events) // 2)


def _faults_stay_apart(case: Case, cls: type) -> None:
    """The case's own faults, and one without magnitude at every source; where a precondition fails there is nothing to judge."""
    start, end = case.start_ns, int(case.events["time_ns"].max(initial=case.start_ns)) + 1
    nothing = [(int(Seam.SOURCE_READ), SEAM_ANY, start, end, int(SeamKind.SCALE), units.PPM)]
    for law, rows in ((pairs.nothing_changes_nothing, nothing), (pairs.fault_stays_apart, case.seams)):
        with suppress(pairs.Unfit):
            law(partial(_run, cls, case.start_ns), case.venue, case.events, rows)


def _gains_equal_losses(case: Case, cls: type) -> None:
    states = [_run(cls, case.start_ns, case.venue, case.events, seams).state() for seams in ((), case.seams)]
    runs.gains_equal_losses(case.venue, *states)


def _run(cls: type, start_ns: int, venue: Venue, events: np.ndarray, seams: Sequence[tuple]) -> Any:
    exchange = cls(venue, start_ns, seams)
    exchange.run(events)
    return exchange


WHOLE: dict[str, Callable[[Case, type], None]] = {
    "L13": _reject_is_clock,
    "L14": _same_input_same_digest,
    "L18": _faults_stay_apart,
    "L20": _gains_equal_losses,
}
"""The laws of whole runs; L14 cuts the tape in its middle."""


class Checks(NamedTuple):
    """What is checked: laws after every event, states every n events and at the end, laws of whole runs."""

    laws: tuple[str, ...]
    state_every: int
    whole: tuple[str, ...]


ALL = Checks(laws.CHECKED, 1, tuple(WHOLE))


class _Alone:
    """One exchange under the laws: what Lockstep is for two."""

    def __init__(self, case: Case, cls: type) -> None:
        self.case, self.events, self.left = case, 0, cls(case.venue, case.start_ns, case.seams)

    def run(self, events: np.ndarray, state_every: int, laws: tuple[str, ...]) -> None:
        armed, before = frozenset(int(row[0]) for row in self.case.seams), self.left.state()
        for event in events:
            outcomes = self.left.apply(event)
            self.events += 1
            if laws:
                after = self.left.state()
                check_laws(self.case.venue, before, event.tobytes(), outcomes, after, armed, laws)
                before = after


check_laws = laws.check


class Ran(NamedTuple):
    """A case that passed. outcomes: of the left exchange; visits: of seams and stages."""

    outcomes: np.ndarray
    visits: dict[str, int]


class Failure(NamedTuple):
    """kind and what make the signature; event: the number of the event at which it showed; text: for a person."""

    kind: str
    what: str
    event: int
    text: str

    @property
    def exit_code(self) -> int:
        return 1 if self.kind == "law" else 4

    def same(self, other: Failure | None) -> bool:
        """Say whether the other is the same kind of failure: same law, same field, same crash."""
        return other is not None and (self.kind, self.what) == (other.kind, other.what)


def signature(failure: Failure, setup: Setup) -> str:
    """Return what two failures of one finding share."""
    planted = f" with planted bug {setup.planted}" if setup.planted else ""
    return f"{failure.kind} {failure.what}{planted}" + ("" if setup.right else " alone")


def digest_of(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def judge(case: Case, setup: Setup, checks: Checks = ALL) -> Ran | Failure:
    """Run a case; return what it did, or its first failure. What was seen sparsely is judged again after every event."""
    found = _judge(case, setup, checks)
    if isinstance(found, Failure) and checks.state_every != 1:
        again = _judge(case, setup, checks._replace(state_every=1))
        return again if isinstance(again, Failure) else found
    return found


def _judge(case: Case, setup: Setup, checks: Checks) -> Ran | Failure:
    run, classes = None, setup.classes()
    try:
        if len(classes) == 1:
            run = _Alone(case, classes[0])
        else:
            run = Lockstep(case.venue, case.start_ns, case.seams, left=classes[0], right=classes[1])
        run.run(case.events, state_every=checks.state_every, laws=checks.laws)
        for name in checks.whole:
            for cls in classes:
                WHOLE[name](case, cls)
        return Ran(run.left.outcomes(), run.left.visits())
    except LawBroken as error:
        return Failure("law", error.law, error.event, str(error))
    except TwinsDiffer as error:
        return Failure("twins", re.sub(r"\[.*?\]", "", error.field), error.event, str(error))
    except Exception as error:  # whatever it is, it is a finding
        return _crash(error, run.events if run else 0)


def _crash(error: Exception, event: int) -> Failure:
    """Return an exception as a failure: its type, and the innermost function of ours in which it was raised."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if Path(f.filename).parts[-2:-1] != ("fuzz",)]
    ours = [f for f in frames if {"specs", "engine"} & set(Path(f.filename).parts)]
    where = ""
    if ours:
        parts = Path(ours[-1].filename).parts
        room = max(i for i, part in enumerate(parts) if part in ("specs", "engine"))
        where = f" in {'/'.join(parts[room:])}:{ours[-1].name}"
    return Failure("crash", type(error).__name__ + where, event, f"{type(error).__name__}: {error}")


def judge_apart(case: Case, setup: Setup, checks: Checks = ALL, seconds: float = CASE_SECONDS_MAX) -> Ran | Failure:
    """Judge in a process of its own, so that a segmentation fault is a failure too. A Ran comes back without outcomes."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        try:
            no_core()
            faulthandler.disable()  # hundreds of trials of a shrink would each print a stack
            os.close(reader)
            found = judge(case, setup, checks)
            os.write(writer, pickle.dumps(found if isinstance(found, Failure) else None))
        finally:
            os._exit(0)
    os.close(writer)
    said, hangs, deadline = b"", False, time.monotonic() + seconds
    with os.fdopen(reader, "rb", buffering=0) as pipe:
        while not hangs and (more := _read(pipe, deadline)) != b"":
            said, hangs = said + (more or b""), more is None
    if hangs:
        os.kill(child, signal.SIGKILL)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if hangs or status < 0 or not said:
        return died("hang" if hangs else signal.Signals(-status).name if status < 0 else f"exit {status}", case)
    return pickle.loads(said) or Ran(np.empty(0), {})


def _read(pipe, deadline: float) -> bytes | None:
    """Return more bytes, none at the end; None when it is too late."""
    ready, _, _ = select.select([pipe], [], [], max(0.0, deadline - time.monotonic()))
    return pipe.read(65_536) if ready else None


def died(what: str, case: Case) -> Failure:
    """Return the failure of a process that did not come back; at which event is not known, so it is the last."""
    return Failure("died", what, max(len(case.events) - 1, 0), f"the process ended by {what} within {len(case.events)} events")


def no_core() -> None:
    """Leave no core file of a process that may crash."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


# ---- the files


class FuzzTape(Tape):
    """A tape as the fuzzer makes it: times may go back and batches may be torn, for a venue must refuse that."""

    def check_order(self) -> None:
        pass


_PLAIN = re.compile(r"[A-Za-z][A-Za-z_]*\Z")
_WORDS = {"true", "false", "null", "yes", "no", "on", "off", "y", "n"}


def _scalar(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, datetime):
        return json.dumps(value.isoformat())
    assert isinstance(value, str), f"{value!r} has no place in a rule book"
    return value if _PLAIN.match(value) and value.lower() not in _WORDS else json.dumps(value, ensure_ascii=False)


def to_yaml(tree: object, indent: int = 0) -> str:
    """Return plain values as the strict YAML that specs.load reads: block style, text in quotes if it may be something else."""
    pad, lines = "  " * indent, []
    for key, value in tree.items() if isinstance(tree, dict) else ((None, value) for value in tree):
        head = f"{pad}- " if key is None else f"{pad}{_scalar(key)}:"
        if isinstance(value, (dict, list)) and value:
            inner = to_yaml(value, indent + 1)
            lines.append(head + inner[len(pad) + 2 :] if key is None else f"{head}\n{inner}")
        else:
            text = ("{}" if isinstance(value, dict) else "[]") if isinstance(value, (dict, list)) else _scalar(value)
            lines.append(f"{head}{text}\n" if key is None else f"{head} {text}\n")
    return "".join(lines)


def tree_of(venue: Venue) -> dict:
    """Return a rule book as plain values, without what is a default."""
    return venue.model_dump(exclude_defaults=True, by_alias=True)


class SeamRow(Row):
    """A row of a fault schedule, as both twins take it. key: a row number, an account, or 4294967295 for any."""

    seam: Literal[tuple(seam.name.lower() for seam in Seam)]
    key: StrictInt
    from_ns: StrictInt
    to_ns: StrictInt
    kind: Literal[tuple(kind.name.lower() for kind in SeamKind)]
    argument: StrictInt


class Schedule(Row):
    schema_version: Literal[1]
    rows: list[SeamRow]

    @classmethod
    def of(cls, seams) -> Schedule:
        names = SeamRow.model_fields
        rows = [(Seam(row[0]).name.lower(), *row[1:4], SeamKind(row[4]).name.lower(), row[5]) for row in seams]
        return cls(schema_version=1, rows=[SeamRow(**dict(zip(names, row, strict=True))) for row in rows])

    def seams(self) -> tuple[tuple[int, ...], ...]:
        return tuple(
            (int(Seam[row.seam.upper()]), row.key, row.from_ns, row.to_ns, int(SeamKind[row.kind.upper()]), row.argument)
            for row in self.rows
        )


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FailureRow(_Part):
    kind: Literal["law", "twins", "crash", "died"]
    what: str
    event: int
    text: str


class Finding(_Part):
    """finding.json. case: its number in the campaign of that seed, from `source`; events_first: before it was shrunk.

    minimal: shrinking came to its end, so that no single step makes the case smaller; else its bound came first.
    """

    schema_version: Literal[1]
    digest: str
    signature: str
    failure: FailureRow
    seed: int
    case: int
    source: str
    left: str
    right: str | None
    planted: int
    start_ns: int
    events: int
    events_first: int
    minimal: bool
    trials: Annotated[int, Field(ge=0)]
    files: dict[str, str]
    versions: dict[str, str]
    token: str

    @property
    def setup(self) -> Setup:
        return Setup(self.left, self.right, self.planted)

    @property
    def found(self) -> Failure:
        return Failure(**self.failure.model_dump())


def versions() -> dict[str, str]:
    from importlib import metadata

    from engine.records import BUILD

    try:
        ours = metadata.version("riskbed")
    except metadata.PackageNotFoundError:
        ours = "not installed"
    return {"riskbed": ours, "engine": f"{BUILD['mode']} {BUILD['digest']}", "numpy": np.__version__}


@contextmanager
def staged(root: Path, name: str) -> Iterator[Path]:
    """Give an empty folder to fill; put it in place as root/name when the block ends. A failure leaves `root` as it was."""
    try:
        root.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=".partial-", dir=root))
    except OSError as error:
        remedy = "--out names a folder that can be written"
        raise SpecError(f"no finding can be written: {error.strerror}", where=str(root), remedy=remedy) from None
    try:
        folder = staging / "new"
        folder.mkdir()
        yield folder
        if (root / name).exists():
            os.rename(root / name, staging / "old")
        os.rename(folder, root / name)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def write(root: Path, case: Case, failure: Failure, setup: Setup, /, **about) -> Path:
    """Write a finding whole or not at all and return its folder; one of the same signature is replaced.

    about: seed, case, source, events_first, minimal, trials.
    """
    text = signature(failure, setup)
    folder, events = root / digest_of(text), np.ascontiguousarray(case.events, dtype=EVENT)
    book, schedule = to_yaml(tree_of(case.venue)), to_yaml(Schedule.of(case.seams).model_dump())
    assert load.load_text(book, Venue) == case.venue and load.load_text(schedule, Schedule).seams() == tuple(case.seams)
    last = int(events["time_ns"].max(initial=case.start_ns))
    meta = Meta(case.venue.name, case.start_ns, max(last, case.start_ns), title=text, grid_ns=last + 1, cadence_ns=2**60)
    tape = FuzzTape(events, meta)
    row = Finding(
        schema_version=1,
        digest=folder.name,
        signature=text,
        failure=FailureRow(**failure._asdict()),
        left=setup.left,
        right=setup.right,
        planted=setup.planted,
        start_ns=case.start_ns,
        events=len(events),
        files={TAPE: tape.digest(), VENUE: digest_of(book), SEAMS: digest_of(schedule)},
        versions=versions(),
        token=f"riskbed fuzz --replay {folder}",
        **about,
    )
    with staged(root, folder.name) as new:
        tape.write(new / TAPE)
        (new / VENUE).write_text(book, encoding="utf-8")
        (new / SEAMS).write_text(schedule, encoding="utf-8")
        (new / FINDING).write_text(row.model_dump_json(indent=2) + "\n", encoding="utf-8")
    return folder


def read(folder: str | Path) -> tuple[Finding, Case]:
    """Return a finding and its case.

    Raises SpecError if this is no folder of a finding or its rule book or schedule cannot be read, TapeError if a file is torn or
    is not the one that finding.json speaks of.
    """
    folder, remedy = Path(folder), "the folder that a campaign named: findings/<digest>"
    if not (folder / FINDING).is_file():
        raise SpecError(f"there is no finding here: no {FINDING}", where=str(folder), remedy=remedy)
    try:
        row = Finding.model_validate_json((folder / FINDING).read_bytes())
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        cause = f"{FINDING} is torn: {place + ': ' if place else ''}{first['msg']}"
        raise TapeError(cause, where=str(folder), remedy="run the campaign of its seed again") from None
    tape = FuzzTape.read(folder / TAPE)
    venue, schedule = load.load(folder / VENUE, Venue), load.load(folder / SEAMS, Schedule)
    digests = {TAPE: tape.digest()} | {name: digest_of((folder / name).read_text(encoding="utf-8")) for name in (VENUE, SEAMS)}
    for name, digest in digests.items():
        if row.files.get(name) != digest:
            cause = f"{name} is not the file that {FINDING} speaks of"
            raise TapeError(cause, where=str(folder / name), remedy="run the campaign again; an edited case is not that finding")
    return row, Case(venue, tape.events, schedule.seams(), row.start_ns)
