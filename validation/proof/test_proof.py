"""A slice of the networks that are attacked, and the page that is made of it."""

from validation.proof import __main__ as command
from validation.proof.soundness import Found, attack


def test_adversarial_inputs_leave_no_range():
    found = Found()
    for seed in range(1000, 1060):
        attack(seed, found)
    assert found.networks == 60
    assert found.numbers > 1000
    assert found.left == []
    assert len({family for family, _ in found.shares}) == 7
    assert all(0 <= share <= 1 for share, _ in found.tightness().values())
    assert all(share > 0.3 for (_, depth), (share, _) in found.tightness().items() if depth == 0)


def test_the_page_has_what_was_found(monkeypatch, tmp_path):
    monkeypatch.setattr(command, "files", lambda: iter(()))
    said = []
    assert command.main(["--networks", "2", "--jobs", "1", "--page", str(tmp_path / "page.md")], said.append) == 0
    assert said[0].startswith("2 networks, ")
    assert "0 were exceeded" in (tmp_path / "page.md").read_text()
