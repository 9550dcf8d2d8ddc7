"""Folders and tables to datalists."""
