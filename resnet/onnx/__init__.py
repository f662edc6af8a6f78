"""The model as an ONNX file, and ONNX Runtime's sessions."""
