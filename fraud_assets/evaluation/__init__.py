"""How good alerts are, measured against labels."""
