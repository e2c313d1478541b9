"""What Intaglio costs, measured beside what one would compare it with. `python -m benchmarks [name ...]`."""
