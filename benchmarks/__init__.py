"""What is promised, measured: each module is a command, and ``docs/benchmarks.md`` holds its figures."""
