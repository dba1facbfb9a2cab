"""A server killed at each durable append, and started again."""
