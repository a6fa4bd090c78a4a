"""What each task does in `test_distributed`: `srun python slurm_task.py OUT.json`."""

import json
import os
import signal
import sys
from pathlib import Path

from slowfast_cli.engine import distributed, stop_signal
from slowfast_cli.types import DataError


def stops(share, *, at):
    """After which of five steps, of which none ends before all have begun it, all stop; one is asked in the middle."""
    together = stop_signal.StopAgreement(ahead=0)
    for done in range(1, 6):
        distributed.barrier(share)
        if share.rank == 1 and done == at:
            stop_signal.request()
        if together.reached(done):
            return done
    return None


def main() -> None:
    share = distributed.join()
    reported = {
        "share": [share.rank, share.world],
        "stops": [stops(share, at=1), stops(share, at=9)],
        "before": sorted(distributed.read_status(share)),
    }
    distributed.barrier(share)
    distributed.publish_status({"done": 10 * share.rank}, share)
    distributed.publish_status({"done": 11 * share.rank}, share)
    try:
        distributed.fail_together(DataError("x: broken") if share.rank == 2 else None, share)
    except DataError as error:
        reported["problem"] = str(error)
    distributed.fail_together(None, share)
    reported["posted"] = distributed.read_status(share)
    reported = distributed.gather([reported], share)
    if share.rank == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    try:
        distributed.barrier(share)
        lost = False
    except Exception as error:
        lost = distributed.is_lost(error)
    if share.rank == 0:
        Path(sys.argv[1]).write_text(json.dumps({"reported": reported, "lost": lost}))


if __name__ == "__main__":
    main()
