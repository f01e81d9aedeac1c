"""The rule workshop: trials of changed rules, examples, mutants, the gate of a promotion, and the lock file."""
