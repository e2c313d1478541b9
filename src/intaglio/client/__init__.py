"""A library behind a server: the same nouns and types as an open one."""
