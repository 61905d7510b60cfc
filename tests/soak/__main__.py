"""`python -m tests.soak`: a random workload on a real daemon, for so long; one table.

Clients add, link, edit, claim and retry tasks whose agents behave well or badly, while
the daemon and its agents are killed at random moments. Throughout and at the end what
agents and clients know is compared with the database. The same seed says the same
things in the same order; what comes of them depends on the machine.
"""

import argparse
import secrets
import shutil
import sys
import tempfile
from pathlib import Path

from tests.soak.soak import Soak
from tests.system.den import why_no_den


def main() -> int:
    """Soaks, prints the table, and exits with 1 when a promise was broken."""
    parser = argparse.ArgumentParser(prog="tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--clients", type=int, default=3)
    parser.add_argument("--keep", action="store_true", help="keep the project")
    arguments = parser.parse_args()
    reason = why_no_den()
    if reason:
        sys.stderr.write(f"soak: no PID namespace is to be had here: {reason}\n")
        return 1
    seed = secrets.randbelow(1_000_000) if arguments.seed is None else arguments.seed
    sys.stdout.write(f"seed {seed}\n")
    sys.stdout.flush()
    folder = Path(tempfile.mkdtemp(prefix="wg-soak-"))
    try:
        soak = Soak(folder / "x", seed, arguments.clients)
        try:
            seconds = soak.run(arguments.minutes * 60)
        finally:
            soak.close()
    finally:
        if arguments.keep:
            sys.stdout.write(f"kept in {folder}\n")
        else:
            shutil.rmtree(folder)
    sys.stdout.write(soak.tally.table(seconds, seed))
    return 0 if soak.tally.is_clean else 1


if __name__ == "__main__":
    sys.exit(main())
