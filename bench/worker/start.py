"""The time at which this process began. It is imported first, because heavy imports are part of a cold start."""

import time

STARTED = time.perf_counter()
