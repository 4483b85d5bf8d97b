"""What an event is, where it rests and how it is counted; the registry; the HTTP plumbing all services share."""
