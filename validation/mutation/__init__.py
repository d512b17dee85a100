"""Every change of one operator, constant or comparison in a family's step, and the golden vector that notices it."""
