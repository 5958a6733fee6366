"""One outside thing per module: the engine, Compose, a registry, git, a host."""
