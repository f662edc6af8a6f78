"""The real worker, with little address space beyond what its libraries take: for tests of what it says then."""

import resource
import sys
from pathlib import Path

import bench.worker.__main__


def cramp(mib: int) -> None:
    """From now on this process may map so much more."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + (mib << 20)
    resource.setrlimit(resource.RLIMIT_AS, (limit, resource.getrlimit(resource.RLIMIT_AS)[1]))


if __name__ == "__main__":
    import torch  # noqa: F401 - mapping it takes more than what is left afterwards

    cramp(400)
    bench.worker.__main__.main(int(sys.argv[1]), int(sys.argv[2]))
