"""``python -m analysis.features`` with small networks and shards, for tests that start it in processes of its own."""

import sys

from analysis.features import __main__ as command
from tests.analysis.workspace.small_world import SMALL


def main() -> int:
    """As the command line, without compiling anything."""
    for (module, field), value in SMALL.items():
        setattr(module, field, value)
    command.use_compiled = lambda: None  # it takes longer than the run
    return command.main()


if __name__ == "__main__":
    sys.exit(main())
