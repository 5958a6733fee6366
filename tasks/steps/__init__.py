"""What a verb does, step by step: core decides, adapters act, steps put the two in order."""
