"""The log over Apache Kafka: see README.md."""
