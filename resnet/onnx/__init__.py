"""The model as an ONNX file, in float and in 8 bits, its steps, and ONNX Runtime's sessions."""

import os

# Without it ONNX Runtime 1.31 starts a thread that sends usage data, beside what is timed, and leaves a file `.ses`
# among the temporary ones. It reads this once, when it is imported; the second name is that of its later versions.
for name in ("ORT_DISABLE_TELEMETRY", "ORT_TELEMETRY_DISABLED"):
    os.environ.setdefault(name, "1")
