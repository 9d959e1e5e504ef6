"""Starts processes of a tool with the variables that a launcher sets.

  start_as.py {slurm,mpi} PROCESSES TOOL [arguments of the tool]
The variables are those that slurm 22.05's srun and Open MPI 4.1's mpirun set for
processes on one node.
"""
import os
import subprocess
import sys


def variables(launcher, rank, processes):
    if launcher == 'slurm':
        return dict(
            SLURM_PROCID=rank, SLURM_LOCALID=rank, SLURM_NTASKS=processes,
            SLURM_NODELIST='node1', SLURM_STEP_NUM_NODES=1)
    return dict(
        OMPI_COMM_WORLD_RANK=rank, OMPI_COMM_WORLD_LOCAL_RANK=rank,
        OMPI_COMM_WORLD_SIZE=processes, OMPI_COMM_WORLD_LOCAL_SIZE=processes)


def main():
    launcher, processes, *command = sys.argv[1:]
    started = []
    for rank in range(int(processes)):
        values = variables(launcher, rank, processes)
        started.append(
            subprocess.Popen(
                [sys.executable, *command],
                env=dict(os.environ, **{k: str(v) for k, v in values.items()})))
    codes = [process.wait() for process in started]
    sys.exit(max(codes, key=abs))


if __name__ == '__main__':
    main()
