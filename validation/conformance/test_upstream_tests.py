"""lava-dl's own tests pass on this package, but for those that are listed."""

import pytest

from lavadl_ref.netx import lava_support
from tests.support import upstream
from validation.conformance import upstream_tests

pytestmark = [
    pytest.mark.upstream,
    pytest.mark.lava,
    pytest.mark.skipif(not (upstream_tests.INSTALLED / "slayer").is_dir(), reason="lava-dl's tests are not installed"),
    pytest.mark.skipif(not lava_support.available()[0], reason="lava-nc is not installed"),
]


@pytest.mark.timeout(1200)
def test_the_tests_of_lava_dl_pass_but_for_the_listed(tmp_path, say):
    """On this package; those of slayer all pass on lava-dl too, where it is the same tests that run."""
    upstream.slayer()
    ours = upstream_tests.run("ours", tmp_path / "ours")
    say(f"lava-dl's own tests on this package: {upstream_tests.summary(ours)}")
    assert {test for test, outcome in ours.items() if outcome == "failed"} == set(upstream_tests.FAILS)
    assert [test for test, outcome in ours.items() if outcome == "skipped"] == []
    theirs = upstream_tests.run("theirs", tmp_path / "theirs")
    say(f"lava-dl's own tests on lava-dl: {upstream_tests.summary(theirs)}")
    assert theirs.keys() == {test for test in ours if not (test in upstream_tests.FAILS and "/netx/" in test)}
    assert [test for test, outcome in theirs.items() if outcome != "passed" and "/netx/" not in test] == []
