"""Starts several processes of one run, as torchrun does."""

import os
import socket
import subprocess
import sys
from pathlib import Path


def run_together(n: int, *words: str) -> list[subprocess.CompletedProcess[str]]:
    """`python -m words` in n processes; none lives longer than the test."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    common = {**os.environ, "WORLD_SIZE": str(n), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    started = [
        subprocess.Popen(
            [sys.executable, "-m", *words],
            env={**common, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            cwd=Path(__file__).parents[2],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(n)
    ]
    done = []
    try:
        for process in started:
            out, error = process.communicate(timeout=600)
            done.append(subprocess.CompletedProcess(process.args, process.returncode, out, error))
    finally:
        for process in started:
            process.kill()
    return done
