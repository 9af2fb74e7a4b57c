"""Inject every fault and print what came of it."""

from __future__ import annotations

import argparse
import sys

from tests.faults.all_faults import FAULTS
from tests.faults.fault import tally


def main() -> None:
    """Run the command; exit with 1 where anything was lost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--long", action="store_true", help="many more of each")
    parser.add_argument("--only", metavar="WORD", help="faults whose names hold this")
    args = parser.parse_args()
    faults = [fault for fault in FAULTS if (args.only or "") in fault.name]
    width = max((len(fault.name) for fault in faults), default=5)
    print(f"{'fault':{width}}  injected  survived  lost  seconds")
    losses = []
    for fault in faults:
        result = tally(fault, fault.long if args.long else fault.usual)
        print(
            f"{fault.name:{width}}  {result.injected:8}  {result.survived:8}  "
            f"{len(result.losses):4}  {result.seconds:7.1f}",
            flush=True,
        )
        losses += [f"\n{fault.name}, {loss}" for loss in result.losses]
    sys.stdout.writelines(losses[:20])
    sys.exit(bool(losses))


if __name__ == "__main__":
    main()
