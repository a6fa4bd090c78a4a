"""What srun tells a process, in torch's words."""

import pytest

from slowfast_cli.engine.slurm import hosts, ranks

TASK = {
    "SLURM_PROCID": "9",
    "SLURM_NTASKS": "16",
    "SLURM_STEP_NUM_TASKS": "16",
    "SLURM_LOCALID": "1",
    "SLURM_JOB_ID": "4711042",
    "SLURM_STEP_ID": "0",
    "SLURM_JOB_NODELIST": "gpu[01-04]",
    "SLURM_STEP_NODELIST": "gpu[03-04]",
}


def test_a_task_of_srun():
    assert ranks(TASK) == {
        "RANK": "9",
        "WORLD_SIZE": "16",
        "LOCAL_RANK": "1",
        "MASTER_ADDR": "gpu03",
        "MASTER_PORT": str(10_000 + 4711042 % 20_000),
    }


def test_every_task_of_a_job_meets_at_the_same_place_and_another_job_elsewhere():
    def place(**more):
        reported = ranks({**TASK, **more})
        return reported["MASTER_ADDR"], reported["MASTER_PORT"]

    assert place() == place(SLURM_PROCID="0", SLURM_LOCALID="0")
    assert place() != place(SLURM_JOB_ID="4711043")
    assert place() != place(SLURM_STEP_ID="1")
    for job in ("1", "19999", "20000", "99999999"):
        assert 10_000 <= int(place(SLURM_JOB_ID=job)[1]) < 30_000


def test_what_a_script_exports_stays():
    reported = ranks({**TASK, "MASTER_ADDR": "here", "MASTER_PORT": "29500"})
    assert "MASTER_ADDR" not in reported
    assert "MASTER_PORT" not in reported
    assert reported["RANK"] == "9"


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"SLURM_JOB_ID": "1", "SLURM_NTASKS": "16"},  # salloc
        {"SLURM_JOB_ID": "1", "SLURM_NTASKS": "16", "SLURM_PROCID": "0"},  # the script of sbatch
        {**TASK, "SLURM_NTASKS": "1", "SLURM_STEP_NUM_TASKS": "1", "SLURM_PROCID": "0"},
        {**TASK, "SLURM_STEP_NUM_TASKS": "1"},  # one task of a job of many
    ],
)
def test_a_process_that_is_alone(environment):
    assert ranks(environment) == {}


@pytest.mark.parametrize(
    ("nodes", "found"),
    [
        ("node1", ["node1"]),
        ("a,b,c", ["a", "b", "c"]),
        ("node[003-006,9]", ["node003", "node004", "node005", "node006", "node9"]),
        ("n[1,3-4],m[08-10]", ["n1", "n3", "n4", "m08", "m09", "m10"]),
        ("r[1-2]n[1-2]", ["r1n1", "r1n2", "r2n1", "r2n2"]),
        ("gpu-a100-[9-11].site.org", ["gpu-a100-9.site.org", "gpu-a100-10.site.org", "gpu-a100-11.site.org"]),
    ],
)
def test_lists_of_hosts(nodes, found):
    assert hosts(nodes) == found
