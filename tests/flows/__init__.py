"""Flows through real sockets: what a customer of riverflow sees."""
