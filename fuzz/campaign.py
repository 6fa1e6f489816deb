"""A campaign: case after case from both sources on both twins, until it is told to stop; what it finds is on disk at once.

Case k of a seed is a pure function of (seed, k). Of sixteen cases, eleven are small structured ones under every law after every
event; five are long tapes decoded from bytes, one of them at the bounds of units.py, in lockstep, a fifth of them under the laws
too. A part of both is run again under the laws of whole runs. `SCHEDULE` is that sentence as data.

Workers are processes: one that dies by a signal is a finding with the number of its case. Their answers are taken in the order of
the cases, so that a campaign of so many cases answers the same whatever the machine does; only the seconds differ.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from multiprocessing import resource_tracker
from multiprocessing.connection import wait
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from fuzz import finding, mutants, strategies
from fuzz.finding import CASE_SECONDS_MAX, WHOLE, Checks, Failure, Setup, judge
from fuzz.shrink import EVENTS_MAX, Shrunk, shrink
from fuzz.strategies import EDGES, KINDS, Case, decode
from specs import laws
from specs.errors import RiskbedError, SpecError
from specs.schema import text_of
from specs.tape import Flow, Grade, OutcomeKind, Reason, Seam, Stage

WORKERS = 2
FINDINGS_MAX = 32  # different ones; a campaign that has as many has nothing to add
CORPUS = Path(__file__).parent / "corpus"


# ---- case k


class Rolled:
    """Answers to `below(n)` from integer arithmetic on a seed. n is small, so the bias of 64 bits is nothing."""

    def __init__(self, dice: random.Random) -> None:
        self._dice = dice

    def below(self, n: int) -> int:
        return self._dice.getrandbits(64) % n

    def more(self) -> bool:
        return True


def small_case(choices: strategies.Choices) -> Case:
    """Return what strategies.small_cases draws, from other choices: the same code, asked through its one question."""
    definition = strategies.small_cases().wrapped_strategy.definition
    return definition(lambda integers: choices.below(integers.wrapped_strategy.end + 1))


class Source(NamedTuple):
    """Where a case comes from and what is asked of it. kinds None: a small structured case."""

    name: str
    kinds: dict[str, int] | None
    checks: Checks


EVERY, STATES = Checks(laws.CHECKED, 1, ()), Checks((), 64, ())
SMALL, LONG, BOUNDS = (Source(*row, STATES) for row in (("small", None), ("long", KINDS), ("bounds", EDGES)))
SCHEDULE: tuple[Source, ...] = (
    *[SMALL._replace(checks=EVERY)] * 8,
    *[SMALL._replace(checks=EVERY._replace(whole=tuple(WHOLE)))] * 3,
    *[LONG] * 2,
    LONG._replace(checks=STATES._replace(whole=tuple(WHOLE))),
    LONG._replace(checks=EVERY),
    BOUNDS,
)


def source_of(k: int) -> Source:
    """Return the source of case k: one turn of the schedule is 16 cases, in an order that spreads the long ones."""
    return SCHEDULE[k * 7 % len(SCHEDULE)]


def case_of(seed: int, k: int) -> Case:
    """Return case k of a seed, the same everywhere."""
    dice, kinds = random.Random(f"{seed}/{k}"), source_of(k).kinds
    if kinds is None:
        return small_case(Rolled(dice))
    size = 200 + dice.getrandbits(11)
    return decode(dice.getrandbits(8 * size).to_bytes(size, "little"), kinds)


# ---- what is kept of a case


class Report(NamedTuple):
    """law_events: how many events each law was checked on. reach: what the outcomes show, by name."""

    source: str
    events: int
    law_events: dict[str, int]
    reach: tuple[str, ...]
    visits: dict[str, int]
    failure: Failure | None
    case: Case | None


FUNNEL = {"stage": Stage, "kind": OutcomeKind, "flow": Flow, "grade": Grade, "reason": Reason}


def reach(outcomes: np.ndarray) -> tuple[str, ...]:
    """Return what the outcomes show: the ends of the cascade, and every member of every enum in them."""
    seen = [f"end.{name}" for name in sorted(strategies.reached(outcomes))]
    for name, enum in FUNNEL.items():
        seen += [f"{name}.{enum(value).name}" for value in sorted(set(outcomes[name].tolist())) if value]
    return tuple(seen)


def funnel_names() -> list[str]:
    """Return everything that a case can reach, whether any does or not."""
    members = [f"{name}.{member.name}" for name, enum in FUNNEL.items() for member in enum if member]
    return [f"end.{name}" for name in strategies.REACHES] + members


def report_of(source: Source, case: Case, setup: Setup) -> Report:
    """Judge a case and return what is kept of it."""
    checks, found = source.checks, judge(case, setup, source.checks)
    failed = isinstance(found, Failure)
    events = found.event + 1 if failed else len(case.events)
    law_events = dict.fromkeys((*checks.laws, *checks.whole), events)
    if failed:
        return Report(source.name, events, law_events, (), {}, found, case)
    return Report(source.name, events, law_events, reach(found.outcomes), found.visits, None, None)


# ---- the answer

Count = Annotated[int, Field(ge=0)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class LawCount(_Part):
    """On how many events a law was checked, and how many cases broke it first."""

    events: Count
    broken: Count


class SourceCount(_Part):
    cases: Count
    events: Count


class Reached(_Part):
    """How many of the cases that passed reached it, and their share of those; a case that fails is not looked at further."""

    cases: Count
    share: Annotated[float, Field(ge=0, le=1)]


class Found(_Part):
    """A finding. cases: how many of the campaign show it; first: the first of them; events: of the tape as it lies on disk."""

    digest: str
    signature: str
    kind: Literal["law", "twins", "crash", "died"]
    cases: Count
    first: Count
    events: Count
    known: bool
    folder: str
    token: str


class Summary(_Part):
    """What a campaign answers. differences: cases in which the twins differed; crashes: in which one raised or died.

    visits: how often each seam acted and each stage was entered. funnel: what passed cases reached. known: the finding lay
    there before this campaign. seconds, cases_per_s, events_per_s are the only fields that the machine decides.
    """

    schema_version: Literal[1]
    seed: int
    planted: int
    twins: list[str]
    cases: Count
    passed: Count
    events: Count
    differences: Count
    crashes: Count
    laws: dict[str, LawCount]
    visits: dict[str, Count]
    funnel: dict[str, Reached]
    sources: dict[str, SourceCount]
    findings: list[Found]
    corpus: Count
    stopped_by: str
    exit_code: Literal[0, 1, 4]
    seconds: float
    cases_per_s: float
    events_per_s: float
    versions: dict[str, str]

    @property
    def unvisited(self) -> list[str]:
        return [name for name, times in self.visits.items() if not times]


class Kill(_Part):
    """The first case that fails: cases run up to and with it. None: nothing failed within the bound."""

    cases: Count | None
    seconds: float
    failure: str


class Killed(_Part):
    """A planted bug: found by both twins in lockstep under the laws, and by the model alone under the laws."""

    planted: int
    bug: str
    lockstep: Kill
    alone: Kill


class Kills(_Part):
    schema_version: Literal[1]
    seed: int
    cases_max: Count
    mutants: list[Killed]


class Again(_Part):
    """A finding run again. now: how it fails now, null: it passes. same: it fails as it was found."""

    schema_version: Literal[1]
    finding: finding.Finding
    now: finding.FailureRow | None
    same: bool
    exit_code: Literal[0, 1, 4]


class Smaller(_Part):
    """A finding after it was shrunk further; trials: of this time. finding.minimal: whether shrinking came to its end."""

    schema_version: Literal[1]
    finding: finding.Finding
    trials: Count


SCHEMA = Path(__file__).parent.parent / "specs" / "schema" / "fuzz.json"


def schema() -> str:
    """Return the JSON Schema of what `riskbed fuzz --json` and `shrink --json` print.

    A campaign's summary, the table of planted bugs (--mutants), a finding run again (--replay), a finding shrunk.
    """
    return text_of(TypeAdapter(Summary | Kills | Again | Smaller).json_schema())


# ---- workers


def _work(pipe, seed: int, setup: Setup) -> None:
    """Answer jobs until the pipe closes: ('case', k) or ('shrink', key, case, failure, events_max)."""
    finding.no_core()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # for the campaign, not for us: we go when the pipe closes
    pipe.send(("ready",))
    while True:
        try:
            job = pipe.recv()
        except (EOFError, OSError):
            return
        if job[0] == "case":
            answer = (*job, report_of(source_of(job[1]), case_of(seed, job[1]), setup))
        else:
            answer = (*job[:2], shrink(job[2], setup, *job[3:]))
        try:
            pipe.send(answer)
        except OSError:
            return  # the campaign is gone


class _Worker:
    """A process, the pipe to it, and the job it has."""

    def __init__(self, seed: int, setup: Setup) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_work, args=(theirs, seed, setup), daemon=True)
        resource_tracker.ensure_running()  # starting it lifts the mask that the worker is to inherit until it ignores signals
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
        try:
            self.process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        theirs.close()
        self.job: tuple | None = ("start",)
        self.since = time.monotonic()

    def give(self, job: tuple) -> None:
        self.job, self.since = job, time.monotonic()
        try:
            self.pipe.send(job)
        except OSError:
            pass  # it is dead: reading from the pipe says so

    def late(self, seconds: float) -> bool:
        return self.job is not None and self.job[0] == "case" and time.monotonic() - self.since > seconds

    def ended(self) -> str:
        """Return by what a process ended that closed its pipe."""
        self.process.join(10)
        code = self.process.exitcode
        return signal.Signals(-code).name if code is not None and code < 0 else f"exit {code}"

    def stop(self) -> None:
        self.pipe.close()
        self.process.kill()
        self.process.join()


# ---- the campaign


@dataclass(frozen=True)
class Options:
    """What is asked of a campaign. seconds, cases None: not bounded by them; at least one is given, or it runs until told."""

    seed: int = 1
    seconds: float | None = None
    cases: int | None = None
    out: Path = Path("findings")
    setup: Setup = field(default_factory=Setup)
    corpus: Path | None = CORPUS
    workers: int = WORKERS
    case_seconds: float = CASE_SECONDS_MAX
    shrink_events: int = EVENTS_MAX


@dataclass
class _Tally:
    """What the campaign knows of one finding."""

    first: int
    failure: Failure
    folder: Path
    known: bool
    events: int
    cases: int = 1


class Progress(NamedTuple):
    cases: int
    events: int
    findings: int
    seconds: float


class Campaign:
    """Runs cases, takes their answers in order, writes each finding at once and its shrunk form when there is one."""

    def __init__(
        self,
        options: Options,
        tell: Callable[[Progress], None] = lambda _: None,
        say: Callable[[str], None] = lambda _: None,
        begin: Callable[[], None] = lambda: None,
    ) -> None:
        """begin: called once the campaign itself listens to signals; it leaves by an exception if one came before."""
        self.options, self.tell, self.say, self.begin = options, tell, say, begin
        options.setup.classes()  # a wrong setup is told before anything runs
        self.done = self.events = self.passed = self.crashes = self.differences = self.corpus = self.told = 0
        self.visits: Counter[str] = Counter()
        self.funnel: Counter[str] = Counter()
        self.law_events: Counter[str] = Counter()
        self.broken: Counter[str] = Counter()
        self.by_source: dict[str, list[int]] = {source.name: [0, 0] for source in SCHEDULE}
        self.found: dict[str, _Tally] = {}
        self.waiting: dict[int, Report] = {}  # answers that came before those of lower numbers
        self.shrinks: deque[tuple] = deque()
        self.workers: list[_Worker] = []
        self.stopped = ""
        self.began = time.monotonic()

    # ---- the loop

    def run(self) -> Summary:
        """Run until the cases or the seconds are over, FINDINGS_MAX are found or a signal comes; return what was found."""
        options = self.options
        with _signals(self._signalled):
            self.begin()
            self._run_corpus()
            try:
                self.workers = [_Worker(options.seed, options.setup) for _ in range(options.workers)]
                self._loop()
            finally:
                for worker in self.workers:
                    worker.stop()
            for k in sorted(self.waiting):
                self._take(k, self.waiting.pop(k))
        return self._summary()

    def _signalled(self, number: int, _: object) -> None:
        """Finish what was heard of so far at the first signal, end at once at the second."""
        if self.stopped.startswith("SIG"):
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        self.stopped = signal.Signals(number).name

    def _loop(self) -> None:
        options, numbers = self.options, count()
        next_k = next(numbers)
        while not self.stopped.startswith("SIG"):
            self.stopped = self.stopped or self._over(next_k)
            for worker in self.workers:
                if worker.job is None and self.shrinks:
                    worker.give(self.shrinks.popleft())
                elif worker.job is None and not self.stopped:
                    worker.give(("case", next_k))
                    next_k = next(numbers)
                    self.stopped = self.stopped or self._over(next_k)
            busy = [worker for worker in self.workers if worker.job is not None]
            if not busy:
                return
            ready = wait([worker.pipe for worker in busy], timeout=0.2)
            for worker in busy:
                if worker.pipe in ready or worker.late(options.case_seconds):
                    self._hear(worker)
            self._take_in_order()
            self._progress()

    def _over(self, next_k: int) -> str:
        options = self.options
        if len(self.found) >= FINDINGS_MAX:
            return "findings"
        if options.cases is not None and next_k >= options.cases:
            return "cases"
        return "seconds" if options.seconds is not None and time.monotonic() - self.began >= options.seconds else ""

    def _hear(self, worker: _Worker) -> None:
        """Take a worker's answer; one that died or hangs is replaced, and its case is a finding."""
        late, job, worker.job = worker.late(self.options.case_seconds), worker.job, None
        try:
            answer = None if late and not worker.pipe.poll() else worker.pipe.recv()
        except (EOFError, OSError):
            answer, late = None, False
        if answer is None:
            self._died(worker, job, "hang" if late else worker.ended())
        elif answer[0] == "case":
            self.waiting[answer[1]] = answer[2]
        elif answer[0] == "shrink":
            self._shrunk(*answer[1:])

    def _died(self, worker: _Worker, job: tuple, what: str) -> None:
        if job[0] == "start":
            raise RiskbedError(f"a worker of the campaign did not start: {what}")
        worker.stop()
        self.workers[self.workers.index(worker)] = _Worker(self.options.seed, self.options.setup)
        if job[0] == "case":
            case, source = case_of(self.options.seed, job[1]), source_of(job[1])
            self.waiting[job[1]] = Report(source.name, len(case.events), {}, (), {}, finding.died(what, case), case)
        else:
            self.say(
                f"shrinking '{job[1]}' ended by {what}: it stays as it was found; riskbed shrink {self.found[job[1]].folder}"
            )

    def _take_in_order(self) -> None:
        while self.done in self.waiting:
            self._take(self.done, self.waiting.pop(self.done))

    def _progress(self) -> None:
        now = time.monotonic() - self.began
        if now - self.told >= 1:
            self.told = now
            self.tell(Progress(self.done, self.events, len(self.found), now))

    # ---- answers

    def _take(self, k: int, report: Report) -> None:
        self.done += 1
        self.events += report.events
        self.law_events.update(report.law_events)
        self.by_source[report.source][0] += 1
        self.by_source[report.source][1] += report.events
        if report.failure is None:
            self.passed += 1
            self.visits.update(report.visits)
            self.funnel.update(report.reach)
        else:
            self._failed(k, report.source, report.failure, report.case)

    def _failed(self, k: int, source: str, failure: Failure, case: Case) -> None:
        """Count a failure; write it at once if it is a new one, and have it shrunk."""
        self.differences += failure.kind == "twins"
        self.crashes += failure.kind in ("crash", "died")
        self.broken[failure.what] += failure.kind == "law"
        setup = self.options.setup
        text = finding.signature(failure, setup)
        if text in self.found:
            self.found[text].cases += 1
            return
        folder = self.options.out / finding.digest_of(text)
        known = self._known(folder)
        self.found[text] = _Tally(k, failure, folder, known is not None, known or len(case.events))
        if known is not None:
            self.say(f"case {k}: {failure.text}; known, {folder}")
            return
        about = {"seed": self.options.seed, "case": k, "source": source}
        finding.write(self.options.out, case, failure, setup, events_first=len(case.events), minimal=False, trials=0, **about)
        self.say(f"case {k}: {failure.text}; riskbed fuzz --replay {folder}")
        if failure.what != "hang":  # every trial of it would hang too
            self.shrinks.append(("shrink", text, case, failure, self.options.shrink_events))

    def _known(self, folder: Path) -> int | None:
        """Return how many events a finding has that lies there already, None if there is none; a torn one is written anew."""
        if not folder.exists():
            return None
        try:
            return finding.read(folder)[0].events
        except RiskbedError as error:
            self.say(f"written anew: {error}")
            return None

    def _shrunk(self, text: str, shrunk: Shrunk) -> None:
        tally = self.found[text]
        row, _ = finding.read(tally.folder)
        about = {"seed": row.seed, "case": row.case, "source": row.source, "events_first": row.events_first}
        finding.write(
            self.options.out, shrunk.case, shrunk.failure, row.setup, minimal=shrunk.minimal, trials=shrunk.trials, **about
        )
        tally.events, tally.failure = len(shrunk.case.events), shrunk.failure
        self.say(f"shrunk to {tally.events} events: {shrunk.failure.text}; riskbed fuzz --replay {tally.folder}")

    def _run_corpus(self) -> None:
        """Judge what was found once and has been mended, on the twins as they are; it may not fail again."""
        if self.options.corpus is None or self.options.setup != Setup() or not self.options.corpus.is_dir():
            return
        for folder in sorted(path.parent for path in self.options.corpus.glob(f"*/{finding.FINDING}")):
            if self.stopped:
                return
            _, case = finding.read(folder)
            found = judge(case, self.options.setup)
            self.corpus += 1
            if isinstance(found, Failure):
                self._failed(0, "corpus", found, case)

    def _summary(self) -> Summary:
        seconds, options = time.monotonic() - self.began, self.options
        kinds = {tally.failure.kind for tally in self.found.values()}
        names = [seam.name for seam in Seam] + [f"STAGE_{stage.name}" for stage in Stage if stage]
        return Summary(
            schema_version=1,
            seed=options.seed,
            planted=options.setup.planted,
            twins=[name for name in (options.setup.left, options.setup.right) if name],
            cases=self.done,
            passed=self.passed,
            events=self.events,
            differences=self.differences,
            crashes=self.crashes,
            laws={name: LawCount(events=self.law_events[name], broken=self.broken[name]) for name in laws.LAWS},
            visits={name: self.visits[name] for name in dict.fromkeys([*names, *self.visits])},
            funnel={
                name: Reached(cases=self.funnel[name], share=round(self.funnel[name] / max(self.passed, 1), 4))
                for name in funnel_names()
            },
            sources={name: SourceCount(cases=cases, events=events) for name, (cases, events) in self.by_source.items()},
            findings=[self._found(text, tally) for text, tally in self.found.items()],
            corpus=self.corpus,
            stopped_by=self.stopped,
            exit_code=0 if not kinds else 1 if kinds == {"law"} else 4,
            seconds=round(seconds, 3),
            cases_per_s=round(self.done / seconds, 3),
            events_per_s=round(self.events / seconds, 3),
            versions=finding.versions(),
        )

    @staticmethod
    def _found(text: str, tally: _Tally) -> Found:
        folder = str(tally.folder)
        return Found(
            digest=tally.folder.name,
            signature=text,
            kind=tally.failure.kind,
            cases=tally.cases,
            first=tally.first,
            events=tally.events,
            known=tally.known,
            folder=folder,
            token=f"riskbed fuzz --replay {folder}",
        )


@contextmanager
def _signals(handler):
    """Hear Ctrl-C and kill while the block runs; elsewhere than in the main thread nobody can."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handler) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)


# ---- one finding again


def replay(folder: str | Path) -> tuple[finding.Finding, Failure | None]:
    """Return a finding and how its case fails now, None if it passes. What killed the process is run in one of its own."""
    row, case = finding.read(folder)
    found = finding.judge_apart(case, row.setup) if row.failure.kind == "died" else judge(case, row.setup)
    return row, found if isinstance(found, Failure) else None


def again(row: finding.Finding, failure: Failure | None) -> Again:
    """Return what came of a finding that was run again."""
    now = None if failure is None else finding.FailureRow(**failure._asdict())
    same = failure is not None and failure.same(row.found)
    return Again(schema_version=1, finding=row, now=now, same=same, exit_code=0 if failure is None else failure.exit_code)


def shrink_further(folder: str | Path, events_max: int, seconds_max: float) -> tuple[finding.Finding, Shrunk]:
    """Shrink a finding where it lies and return it with what came of it. Raises SpecError if it does not fail (any more)."""
    folder = Path(folder)
    row, case = finding.read(folder)
    shrunk = shrink(case, row.setup, row.found, events_max, seconds_max)
    if shrunk.trials == 1 or not row.found.same(shrunk.failure):
        raise SpecError(
            f"'{row.signature}' does not fail here: nothing to shrink",
            where=str(folder),
            remedy=f"see how it fails now: {row.token}",
        )
    about = {"seed": row.seed, "case": row.case, "source": row.source, "events_first": row.events_first}
    finding.write(
        folder.parent,
        shrunk.case,
        shrunk.failure,
        row.setup,
        minimal=shrunk.minimal,
        trials=row.trials + shrunk.trials,
        **about,
    )
    return finding.read(folder)[0], shrunk


# ---- planted bugs


def first_kill(setup: Setup, seed: int, cases_max: int, stop=lambda: False) -> Kill:
    """Run cases in order until one fails."""
    began = time.monotonic()
    for k in range(cases_max):
        if stop():
            break
        found = judge(case_of(seed, k), setup, source_of(k).checks)
        if isinstance(found, Failure):
            seconds = round(time.monotonic() - began, 3)
            return Kill(cases=k + 1, seconds=seconds, failure=f"{found.kind} {found.what}")
    return Kill(cases=None, seconds=round(time.monotonic() - began, 3), failure="")


def kills(seed: int, cases_max: int, tell: Callable[[Killed], None] = lambda _: None) -> Kills:
    """Measure, for every planted bug, how many cases it takes to find it: by the twins and the laws, and by the laws alone."""
    rows = []
    for planted, bug in sorted(mutants.MUTANTS.items()):
        lockstep = first_kill(Setup(planted=planted), seed, cases_max)
        alone = first_kill(Setup(right=None, planted=planted), seed, cases_max)
        rows.append(Killed(planted=planted, bug=_says(planted, bug), lockstep=lockstep, alone=alone))
        tell(rows[-1])
    return Kills(schema_version=1, seed=seed, cases_max=cases_max, mutants=rows)


def _says(planted: int, bug: type) -> str:
    """Return a planted bug in words: the first line of what documents it."""
    patched = mutants._PATCHES.get(planted)
    text = (patched[0][2].__doc__ if patched else bug.__doc__) or bug.__name__
    return text.partition(": ")[2].rstrip(".")


if __name__ == "__main__":
    SCHEMA.write_text(schema(), encoding="utf-8")
