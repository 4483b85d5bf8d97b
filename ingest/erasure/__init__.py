"""Take one customer's text out of everything that is kept, while every figure stays."""
