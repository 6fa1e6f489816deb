"""Verdicts. A package, so that no `tests` that somebody installed stands in for it: a peer of the bench brings one."""
