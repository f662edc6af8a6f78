"""The real worker, with a job that tells its process number and sleeps: for the test that kills its parent."""

import os
import sys
import time

import bench.worker.__main__
from bench.runs.job import Notify
from bench.worker.forks import serve


def sleeping(data: object, notify: Notify, pause: object) -> dict[str, object]:
    notify(str(os.getpid()))
    time.sleep(600)
    return {}


bench.worker.__main__.answer_job = sleeping
descriptor, parent, *kind = sys.argv[1:]
if kind:
    bench.worker.__main__.exit_with(int(parent))
    descriptor = str(serve(int(descriptor), *kind))
bench.worker.__main__.main(int(descriptor), int(parent))
