"""From usage to money: price models, catalog, subscriptions, periods, invoices."""
