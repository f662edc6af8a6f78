"""The model's ONNX file compiled by OpenVINO for the CPU."""

import sys

# OpenVINO 2026.4 sends usage data while it is imported, through this package, unless the package is missing.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # None: importing it is an ImportError
