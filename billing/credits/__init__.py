"""Credits of customers: what came in, what usage drew, and what is left."""
