"""The tasks and examples of Celery's guide to its canvas, for tests here and on real workers."""
