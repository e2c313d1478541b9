"""The server: HTTP in, one studio call, HTTP out."""
