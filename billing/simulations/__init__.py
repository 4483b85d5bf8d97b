"""Draft prices over past usage: what customers would have paid, beside what they pay by the prices they have."""
