"""What every warehouse does, whatever its engine; `Capability` names the differences."""
