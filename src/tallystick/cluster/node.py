"""A process of the cluster on this machine: it ends with the one that started it."""

import sys

from tallystick import _core

__all__ = ["main"]


def main(arguments: list[str]) -> None:
    """Run what Dask is told to by `--spec`; the first argument is the process that started this one."""
    _core.end_with_parent(int(arguments[0]))
    from distributed.cli.dask_spec import main as run

    run(arguments[1:])


if __name__ == "__main__":
    main(sys.argv[1:])
