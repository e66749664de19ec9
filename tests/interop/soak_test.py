"""bench/soak in its smallest form: every kind of client and of trouble, once round."""
import os
import subprocess

from lab import PROGRAM, ROOT

SECONDS = os.environ.get("SECONDS", "10")


def test_soak():
    result = subprocess.run([ROOT / "bench" / "soak", "--seconds", SECONDS], text=True,
                            env={**os.environ, "OPENRELAY": str(PROGRAM)}, stdout=subprocess.PIPE)
    print(result.stdout[-6000:])
    assert result.returncode == 0
