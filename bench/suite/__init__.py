"""The cases as pytest-benchmark's: `pytest bench/suite --plan smoke`, for those who know its options and files."""
