"""What is sold and for how much: products, their price configurations, and which of these a customer gets."""
