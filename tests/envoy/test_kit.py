"""The kit's own claims: a test that leans on it must be able to trust it."""

from kit import bucket


def test_siphash_gives_the_vector_of_the_paper() -> None:
    assert bucket.siphash_2_4(bytes(range(16)), bytes(range(15))) == 0xA129CA6149BE45E5


def test_the_bucket_of_an_identity_is_the_one_in_the_table() -> None:
    assert bucket.of(b"00c0ffee00c0ffee") == 56
    assert bucket.of(b"00c0ffee00c0ffee", weight_total=1_000_000) == 567_814
    assert bucket.of(b"00c0ffee00c0ffee", salt="other") == 93
