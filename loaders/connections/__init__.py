"""How an account's databases are reached: kept with their secrets encrypted, pinged before they are saved."""
