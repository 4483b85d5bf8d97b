"""Files of the events behind an invoice: CSV and Parquet, written as they are read."""
