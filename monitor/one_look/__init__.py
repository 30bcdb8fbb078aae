"""What a command asks for once: a run, a bench, near ties, a gate, a suite from production."""
