"""What is cached stays within its bytes, and what was used longest ago makes way."""

from __future__ import annotations

from sampt.backends.lru_cache import LruCache


def test_what_was_asked_for_longest_ago_makes_way() -> None:
    cache: LruCache[str, str] = LruCache(100)
    for name in "abc":
        cache.put(name, name.upper(), 30)
    assert cache.get("a") == "A"
    assert cache.put("d", "D", 30) == "D"
    assert list(cache) == ["c", "a", "d"]
    assert [cache.get(name) for name in "abcd"] == ["A", None, "C", "D"]
    assert ("b" in cache, "c" in cache, cache.num_bytes) == (False, True, 90)


def test_one_value_may_be_larger_and_a_new_one_replaces_the_old() -> None:
    cache: LruCache[str, int] = LruCache(10)
    cache.put("a", 1, 50)
    assert (cache.get("a"), len(cache)) == (1, 1)
    cache.put("b", 2, 4)
    assert (cache.get("a"), cache.get("b")) == (None, 2)
    cache.put("b", 3, 6)
    cache.put("c", 4, 4)
    assert [cache.get(name) for name in "bc"] == [3, 4]


def test_there_may_be_a_limit_of_values_too() -> None:
    cache: LruCache[int, int] = LruCache(100, 2)
    for i in range(4):
        cache.put(i, i, 0)
    assert list(cache) == [2, 3]
