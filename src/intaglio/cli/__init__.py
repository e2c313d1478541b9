"""The command line: words in, one studio call, words out."""
