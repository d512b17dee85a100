"""lava-dl's own tests pass on this package, but for those that are listed."""

import pytest

from lavadl_ref.netx import lava_support
from validation.conformance import upstream, upstream_tests

pytestmark = [
    pytest.mark.upstream,
    pytest.mark.lava,
    pytest.mark.skipif(not (upstream_tests.INSTALLED / "slayer").is_dir(), reason="lava-dl's tests are not installed"),
    pytest.mark.skipif(not lava_support.available()[0], reason="lava-nc is not installed"),
]


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    return upstream_tests.run("ours", tmp_path_factory.mktemp("ours"))


def test_all_pass_that_are_not_listed(outcomes, capsys):
    with capsys.disabled():
        print(f"\nlava-dl's own tests on this package: {upstream_tests.summary(outcomes)}")
    assert {test for test, outcome in outcomes.items() if outcome == "failed"} == set(upstream_tests.FAILS)
    assert [test for test, outcome in outcomes.items() if outcome == "skipped"] == []


def test_the_same_tests_on_lava_dl(outcomes, tmp_path, capsys):
    """Those of slayer all pass there too; it is the same tests that ran."""
    upstream.slayer()
    theirs = upstream_tests.run("theirs", tmp_path)
    with capsys.disabled():
        print(f"\nlava-dl's own tests on lava-dl: {upstream_tests.summary(theirs)}")
    assert theirs.keys() == {test for test in outcomes if not (test in upstream_tests.FAILS and "/netx/" in test)}
    assert [test for test, outcome in theirs.items() if outcome != "passed" and "/netx/" not in test] == []
