"""Proved ranges next to what adversarial inputs reach: ``python -m validation.proof``."""
