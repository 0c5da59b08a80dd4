"""Shells over SSH; paramiko is an optional extra."""
