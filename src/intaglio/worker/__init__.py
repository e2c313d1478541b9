"""The process that carries out what is queued, and the one that looks after it."""
