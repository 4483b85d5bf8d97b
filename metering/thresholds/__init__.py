"""Usage that reaches a threshold is told once: for each threshold, customer and period."""
