"""The verbs of the nouns as they are called from outside: one table that the server and the client both read."""
