"""Settings for the method's tests: a busy machine makes examples slow, and that is no failure."""

from hypothesis import HealthCheck, settings

settings.register_profile("method", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("method")
