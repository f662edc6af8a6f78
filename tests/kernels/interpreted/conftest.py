"""For a pytest with TRITON_INTERPRET set before Triton is imported: tests/kernels/test_interpreted.py starts one."""

import os

if os.environ.get("TRITON_INTERPRET") != "1":
    collect_ignore_glob = ["*"]
