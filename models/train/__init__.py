"""Training of "scenes", the small picture model that ships with Intaglio."""
