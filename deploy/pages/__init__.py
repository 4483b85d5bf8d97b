"""The pages: usage, events, customers and open invoices, rendered here and readable without any script."""
