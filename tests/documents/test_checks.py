"""What ``manage.py check`` says about documents."""

import pytest

from documents import checks


def test_a_missing_subset_library_is_a_warning_that_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(checks, "SUBSET_LIBRARIES", ("libabsent-subset.so.0",))

    (warning,) = checks.check_subset_library()

    assert warning.id == "documents.W001"
    assert warning.hint
    assert "libharfbuzz-subset0" in warning.hint
