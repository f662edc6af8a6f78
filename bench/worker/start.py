"""When this process began: imported before all else, as the heavy imports are part of a cold start."""

import time

STARTED = time.perf_counter()
