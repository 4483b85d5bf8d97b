"""What one event adds to open invoices: its marginal price."""
