"""What every warehouse promises, whatever its engine."""
