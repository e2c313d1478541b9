"""The machine that keeps grades honest: real runs, one perturbation each, and the promise held against what came."""
