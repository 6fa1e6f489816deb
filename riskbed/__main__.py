"""The command `riskbed`, also as `python -m riskbed`: it listens to signals before it loads anything that takes time."""

from __future__ import annotations

from riskbed import interrupt


def main() -> int:
    interrupt.listen()
    from riskbed.cli import main

    return main()


if __name__ == "__main__":
    main()
