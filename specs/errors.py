"""What can be wrong, as types. Every message says the cause and the remedy.

    RiskbedError
    |- SpecError      a rule book, plan, incident or option is wrong         exit 2
    |- TapeError      a tape is torn, unknown or goes back in time           exit 3
    |- LawBroken      a numbered law does not hold after an event            exit 1
    '- TwinsDiffer    model and engine disagree                              exit 4

What a venue answers to a client is never an exception: it is a `Reason` in an outcome.
"""

from __future__ import annotations


class RiskbedError(Exception):
    """Base of everything this package raises on purpose."""

    exit_code = 4


class SpecError(RiskbedError):
    """A file a person wrote is wrong. `where` is file:line:column, `problem` the cause and `remedy` what would be right."""

    exit_code = 2

    def __init__(self, problem: str, *, where: str = "", remedy: str = "") -> None:
        self.where, self.problem, self.remedy = where, problem, remedy
        super().__init__((f"{where}: " if where else "") + problem + (f" ({remedy})" if remedy else ""))


class TapeError(RiskbedError):
    """A tape cannot be trusted. `event` is the number of the first bad event, if one can be named."""

    exit_code = 3

    def __init__(self, problem: str, *, where: str = "", event: int | None = None, remedy: str = "") -> None:
        self.where, self.problem, self.event, self.remedy = where, problem, event, remedy
        at = f"event {event}: " if event is not None else ""
        super().__init__((f"{where}: " if where else "") + at + problem + (f" ({remedy})" if remedy else ""))


class LawBroken(RiskbedError):
    """A law does not hold. `law` is its stable name (L1..), `event` the number of the event after which it was checked."""

    exit_code = 1

    def __init__(self, law: str, event: int, detail: str) -> None:
        self.law, self.event, self.detail = law, event, detail
        super().__init__(f"law {law} is broken after event {event}: {detail}")


class TwinsDiffer(RiskbedError):
    """The twins disagree. `event` is the first event whose outcomes or state differ, `field` names the first difference."""

    exit_code = 4

    def __init__(self, event: int, field: str, model: object, engine: object) -> None:
        self.event, self.field, self.model, self.engine = event, field, model, engine
        super().__init__(f"twins differ at event {event} in {field}: model {model!r}, engine {engine!r}")
