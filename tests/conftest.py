"""What holds for the whole suite."""

from hypothesis import settings

# A busy machine is no failure.
settings.register_profile("headstart", deadline=None)
settings.load_profile("headstart")
