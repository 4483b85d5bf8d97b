"""What an event costs: asked along with sending it, simulated, or looked up later."""
