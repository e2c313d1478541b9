"""`python -m intaglio` is the `intaglio` command."""

from intaglio.cli.main import run

if __name__ == "__main__":
    run()
