"""SLURM's variables of the processes that ``srun`` starts, translated to those of torch."""

import re
from collections.abc import Mapping

FIRST_PORT, PORTS = 10_000, 20_000  # below Linux's ephemeral ports, from 32768


def ranks(environment: Mapping[str, str]) -> dict[str, str]:
    """RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR and MASTER_PORT of a task of ``srun``; empty for a single task.

    Exported variables take precedence. The script of ``sbatch`` is no task, although it has a SLURM_PROCID.

    >>> ranks({"SLURM_PROCID": "3", "SLURM_NTASKS": "4", "SLURM_LOCALID": "1", "SLURM_JOB_ID": "20007",
    ...        "SLURM_STEP_ID": "0", "SLURM_STEP_NODELIST": "gpu[03-04]"})["MASTER_ADDR"]
    'gpu03'
    >>> ranks({"SLURM_PROCID": "0", "SLURM_NTASKS": "4", "SLURM_JOB_ID": "20007"})
    {}
    """
    tasks = int(environment.get("SLURM_STEP_NUM_TASKS") or environment.get("SLURM_NTASKS") or 1)
    script = "SLURM_JOB_ID" in environment and "SLURM_STEP_ID" not in environment
    if tasks == 1 or "SLURM_PROCID" not in environment or script:
        return {}
    variables = {
        "RANK": environment["SLURM_PROCID"],
        "WORLD_SIZE": str(tasks),
        "LOCAL_RANK": environment.get("SLURM_LOCALID", "0"),
    }
    local = re.match(r"\d+", environment.get("SLURM_STEP_TASKS_PER_NODE", ""))
    if local:  # tasks of the first node, such as 8(x2)
        variables["LOCAL_WORLD_SIZE"] = local[0]
    nodes = environment.get("SLURM_STEP_NODELIST") or environment.get("SLURM_JOB_NODELIST")
    if nodes and "MASTER_ADDR" not in environment:
        variables["MASTER_ADDR"] = hosts(nodes)[0]
    if "SLURM_JOB_ID" in environment and "MASTER_PORT" not in environment:
        job = int(environment["SLURM_JOB_ID"]) + int(environment.get("SLURM_STEP_ID", "0"))
        variables["MASTER_PORT"] = str(FIRST_PORT + job % PORTS)  # the same on every node, different for each job
    return variables


def hosts(nodes: str) -> list[str]:
    """Expand a SLURM host list.

    >>> hosts("node[003-006,9],login1")
    ['node003', 'node004', 'node005', 'node006', 'node9', 'login1']
    >>> hosts("r[1-2]n[08-09]-ib")
    ['r1n08-ib', 'r1n09-ib', 'r2n08-ib', 'r2n09-ib']
    """
    expanded = []
    for word in re.findall(r"(?:[^,\[]|\[[^\]]*\])+", nodes):
        names = [""]
        for plain, ranges in re.findall(r"([^\[]+)|\[([^\]]*)\]", word):
            names = [name + part for name in names for part in ([plain] if plain else _numbers(ranges))]
        expanded += names
    return expanded


def _numbers(ranges: str) -> list[str]:
    numbers = []
    for part in ranges.split(","):
        first, _, last = part.partition("-")
        numbers += [f"{number:0{len(first)}d}" for number in range(int(first), int(last or first) + 1)]
    return numbers
