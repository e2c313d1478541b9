"""Pictures: decoding and encoding, exact pixel arithmetic, measurements, contact sheets, the record inside a file."""
