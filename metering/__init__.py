"""What an event is, where it rests and how it is counted; the registry; HTTP plumbing for all services."""
