"""The child: a case prepared, checked, measured; one file a job."""

import time

STARTED = time.perf_counter()  # before the heavy imports, which are part of a cold start
