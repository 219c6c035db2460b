from hsjax.data.audit.held import Held


def test_forgets_what_was_not_used_for_longest():
    made = []

    def get(held, key):
        return held.get(key, lambda: made.append(key) or key * 10)

    held = Held[str](25, len)
    assert [get(held, key) for key in "abacab"] == [key * 10 for key in "abacab"]
    assert made == ["a", "b", "c", "b"]  # c took the room of b, because a was used since


def test_what_is_too_large_is_not_kept():
    held = Held[str](25, len)
    assert held.get("a", lambda: "x" * 30) == "x" * 30
    assert held.get("a", lambda: "again") == "again"
