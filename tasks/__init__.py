"""Onevm's doit tasks: one module per verb, on top of steps, adapters and core."""
