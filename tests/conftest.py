"""For all tests: properties are about truth, not about time, on machines that do other things too."""

from hypothesis import settings

settings.register_profile("intaglio", deadline=None)
settings.load_profile("intaglio")
