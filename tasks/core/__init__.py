"""Decisions. Pure: no process, no network; reads files at most."""
