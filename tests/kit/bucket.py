"""The bucket of an identity, written a second time to check the filter's."""

from collections.abc import Iterator, Mapping

KEY = b"bluegreen-bucket"
MASK = (1 << 64) - 1


def of(identity: bytes, salt: bytes = b"shop.example") -> int:
    """The bucket: a number of 64 bits (contract, section 6)."""
    return siphash_2_4(KEY, salt + b"\0" + identity)


def picked(bucket: int, weights: Mapping[str, int]) -> str:
    """The version that Envoy picks: by the cumulative weights, in their order."""
    rest = bucket % sum(weights.values())
    for version, weight in weights.items():
        if rest < weight:
            return version
        rest -= weight
    raise AssertionError("the rest is below the sum")


def siphash_2_4(key: bytes, message: bytes) -> int:
    """The 64 bits of SipHash-2-4, after the paper of Aumasson and Bernstein."""
    k0, k1 = (int.from_bytes(half, "little") for half in (key[:8], key[8:]))
    v = [
        k0 ^ 0x736F6D6570736575,
        k1 ^ 0x646F72616E646F6D,
        k0 ^ 0x6C7967656E657261,
        k1 ^ 0x7465646279746573,
    ]
    for word in _words(message):
        v[3] ^= word
        _round(v)
        _round(v)
        v[0] ^= word
    v[2] ^= 0xFF
    for _ in range(4):
        _round(v)
    return v[0] ^ v[1] ^ v[2] ^ v[3]


def _words(message: bytes) -> Iterator[int]:
    length = bytes([len(message) & 0xFF])
    padded = message + bytes(7 - len(message) % 8) + length
    for start in range(0, len(padded), 8):
        yield int.from_bytes(padded[start : start + 8], "little")


def _round(v: list[int]) -> None:
    v[0] = v[0] + v[1] & MASK
    v[1] = _rotate(v[1], 13) ^ v[0]
    v[0] = _rotate(v[0], 32)
    v[2] = v[2] + v[3] & MASK
    v[3] = _rotate(v[3], 16) ^ v[2]
    v[0] = v[0] + v[3] & MASK
    v[3] = _rotate(v[3], 21) ^ v[0]
    v[2] = v[2] + v[1] & MASK
    v[1] = _rotate(v[1], 17) ^ v[2]
    v[2] = _rotate(v[2], 32)


def _rotate(word: int, bits: int) -> int:
    return (word << bits | word >> 64 - bits) & MASK
