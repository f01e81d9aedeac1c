"""Every table of the lake: columns, types, keys and claims."""
